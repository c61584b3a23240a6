CREATE TABLE ref (name TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX ref_digest ON ref (digest);
CREATE TABLE document (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE image (manifest TEXT PRIMARY KEY, config TEXT NOT NULL, added REAL NOT NULL, used REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX image_config ON image (config);
CREATE TABLE edge (parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);
CREATE TABLE variant (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL, codec TEXT NOT NULL, level INTEGER,
    size INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX variant_diff_id ON variant (diff_id, codec, level);
CREATE TABLE record (key TEXT PRIMARY KEY, value TEXT NOT NULL, made REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE lease (session TEXT NOT NULL, holder INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (session, holder, digest)) WITHOUT ROWID;
CREATE TABLE snapshot (chain TEXT PRIMARY KEY, parent TEXT, diff_id TEXT NOT NULL, boot_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE served (repository TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT, PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX served_digest ON served (digest);
CREATE INDEX served_subject ON served (subject);
CREATE TABLE container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created TEXT NOT NULL, pins TEXT NOT NULL,
    settings TEXT NOT NULL, state TEXT NOT NULL);
PRAGMA application_id=1887003236;
PRAGMA user_version=4;
