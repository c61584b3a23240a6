"""The code of our modules, and of some of Python's, in one file: hundreds of them are found and read at little cost.

Python looks through directories for each module, asks the disk about two files and reads one: 0.05 ms, a hundred times
over at each start. Here one file holds what those files hold, and of a module only its source is asked for, by size and
times: what is not just as it was is left to Python. `layers.compiling` writes the file.

It knows courses, too: all that a command loads, in the order in which Python has done with it. A course is run through
in one go (`hasten`), which spares half of what is left: 0.025 ms for each, with which Python sees that somebody else
is not just loading the same. What a course does not know is loaded when it is needed, as ever.
"""

from __future__ import annotations

import errno
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery's, which is loaded already
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

    Entry = tuple[int, int, int, int, int, bool]
    """Where its code begins, its length; what `state` says of its source; whether it is a package."""
    Table = dict[str, Entry]
    Courses = dict[str, tuple[int, int, str]]
    """Where the codes of all modules of one begin, their length; the modules, a line each."""

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = ("builder", "layers", "pybuild", "registry", "runner")
PLACE = cache_from_source(f"{ROOT}/layers/ours.py").removesuffix(".pyc") + ".bundle"
LIBRARY = os.path.dirname(os.__file__)
HEAD = b"%b %b %b 4\n" % (MAGIC_NUMBER, os.fsencode(ROOT), os.fsencode(LIBRARY))
"""How the file begins: which Python understands it, for which trees it is (code knows its files), its format."""
LARGE = 1 << 18
"""Bytes from which a part is mapped, not read."""
Module = type(sys)
WORDS = 6
"""Numbers of an entry."""
LENGTH = 8
"""Bytes of the number that follows: how long the table is, after which the code begins."""


class Bundle:
    """A finder (importlib.abc.MetaPathFinder) of the modules that are in the file.

    `names` are theirs, a line each, and `words` the numbers of their entries: few of hundreds are asked for, and tuples
    of all would take a third of a millisecond.
    """

    def __init__(self, descriptor: int, names: str, words: bytes, courses: Courses, begin: int) -> None:
        self.descriptor, self.courses, self.begin = descriptor, courses, begin
        lines = names.split("\n")
        self.rows = dict(zip(lines, range(len(lines)), strict=True))
        self.words = memoryview(words).cast("q")
        self.file = os.fstat(descriptor)
        self.missed = False
        """Whether something of ours was asked for that it has not, or not as it is now."""

    def entry(self, name: str) -> Entry | None:
        """What is known of a module."""
        if (row := self.rows.get(name)) is None:
            return None
        begin, length, changed, moved, size, package = self.words[row * WORDS : (row + 1) * WORDS]
        return begin, length, changed, moved, size, bool(package)

    @property
    def table(self) -> Table:
        """All that is known."""
        return {name: entry for name in self.rows if (entry := self.entry(name)) is not None}

    @classmethod
    def open(cls, place: str = PLACE) -> Bundle | None:
        """The one that lies there, if it is for us."""
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            start = len(HEAD) + LENGTH
            head = os.pread(descriptor, start, 0)
            length = int.from_bytes(head[len(HEAD) :], "little")
            if head.startswith(HEAD):
                names, words, courses = marshal.loads(os.pread(descriptor, length, start))
                return cls(descriptor, names, words, courses, start + length)
        except (EOFError, TypeError, ValueError):  # torn by a power cut
            pass
        os.close(descriptor)
        return None

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Of a module whose source is as it was."""
        if (entry := self.entry(name)) is None:
            self.missed = self.missed or name.partition(".")[0] in PACKAGES
            return None
        source = source_of(name, package=entry[5])
        if state(source) != entry[2:5]:
            self.missed = True
            return None
        spec = ModuleSpec(name, Loader(name, source, self), origin=source, is_package=entry[5])
        folder, _, file = source.rpartition("/")
        spec.has_location = True
        spec.cached = f"{folder}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc"
        if entry[5]:
            spec.submodule_search_locations = [folder]
        return spec

    def run(self, course: str) -> None:
        """Load what is on a course and not here yet. What one of its modules raises is raised."""
        if course not in self.courses:
            return
        begin, length, lines = self.courses[course]
        here = sys.modules
        names = lines.split("\n")
        specs = [None if name in here else self.find_spec(name) for name in names]
        try:
            codes = marshal.loads(self.read(begin, length))
            pairs = [*zip(names, specs, codes, strict=True)]
        except (EOFError, OSError, TypeError, ValueError):  # torn: then each is looked for by itself
            return
        for name, spec, code in pairs:
            parent, _, own = name.rpartition(".")
            if spec is None or (parent and parent not in here):
                continue
            here[name] = module = Module(name)
            known = module.__dict__  # what import makes of a specification, without asking for what it cannot be
            known |= {"__spec__": spec, "__loader__": spec.loader, "__package__": spec.parent}
            known |= {"__file__": spec.origin, "__cached__": spec.cached}
            if spec.submodule_search_locations is not None:
                known["__path__"] = spec.submodule_search_locations
            try:
                exec(code, module.__dict__)
            except BaseException:
                del here[name]
                raise
            if parent:
                setattr(here[parent], own, module)

    def code(self, name: str) -> bytes | memoryview:
        """A module's code, as `marshal` has it. Raises OSError as `read`."""
        row = self.rows[name] * WORDS
        return self.read(*self.words[row : row + 2])

    def read(self, begin: int, length: int) -> bytes | memoryview:
        """A part of the codes. Raises OSError if the file was closed, as a child of ours may have; ValueError."""
        if not os.path.samestat(os.fstat(self.descriptor), self.file):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        begin += self.begin
        if length < LARGE:
            return os.pread(self.descriptor, length, begin)
        import mmap

        off = begin % mmap.ALLOCATIONGRANULARITY  # pages that others have read already need no memory of ours
        how = mmap.MAP_PRIVATE | mmap.MAP_POPULATE
        mapped = mmap.mmap(self.descriptor, off + length, flags=how, prot=mmap.PROT_READ, offset=begin - off)
        return memoryview(mapped)[off:]


class Loader(SourceFileLoader):
    """Loads a module from the file; whatever else is asked of it, it finds where the source is."""

    def __init__(self, name: str, source: str, bundle: Bundle) -> None:
        super().__init__(name, source)
        self.bundle = bundle

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of the module."""
        try:
            code = marshal.loads(self.bundle.code(fullname))
        except (EOFError, OSError, TypeError, ValueError):
            code = None
        return code if isinstance(code, type(lead.__code__)) else super().get_code(fullname)


def source_of(name: str, *, package: bool) -> str:
    """The file of a module."""
    top = ROOT if name.partition(".")[0] in PACKAGES else LIBRARY
    return f"{top}/{name.replace('.', '/')}{'/__init__' if package else ''}.py"


def state(source: str) -> tuple[int, int, int] | None:
    """By what a source is known to be as it was: its two times (ns; who installs it can choose the first), its size."""
    try:
        now = os.stat(source)
    except OSError:
        return None
    return now.st_mtime_ns, now.st_ctime_ns, now.st_size


def lead() -> None:
    """Have our modules found in the file from now on, if there is one."""
    if (bundle := Bundle.open()) is not None:
        sys.meta_path.insert(0, bundle)


def hasten(course: str) -> None:
    """Load all that is on a course, if there is a file that knows it."""
    if (bundle := leading()) is not None:
        bundle.run(course)


def leading() -> Bundle | None:
    """Where they are found."""
    return next((one for one in sys.meta_path if isinstance(one, Bundle)), None)
