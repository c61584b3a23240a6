"""A process that does to a store, in a random order, all that builds, pulls, containers and prunes do.

`python -m tests.support.churn ROOT SEED ROUNDS`; every round that is done is a line on its output. Whatever it holds
(an image that it made or found, a lease, a mounted chain) must stay whole, whoever else is at work.
"""

import gzip
import io
import os
import random
import sys
from pathlib import Path

from layers import BlobMissing, Chain, Descriptor, Store, prune
from layers.home.ingest import receive
from layers.oci import mediatypes
from runner import private
from tests.support.modes import MODES
from tests.support.stored import new_image, new_layer, tar_of

LAYERS = 12
NAMES = 4


def content(number: int) -> dict[str, bytes | str | None]:
    """Files of layer `number`, large enough that a kill may hit the writing."""
    return {f"f{number}": b"%d" % number * 20_000, "last": b"%d" % number}


class Churn:
    """One process at work."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.dice = random.Random(seed)

    def round(self) -> None:
        """Open the store, do a few things, close it."""
        with Store.open(self.root, mounter=MODES[self.dice.choice(["files", "files", "loops", "unpacked"])]) as store:
            for _ in range(self.dice.randint(1, 4)):
                steps = [self.build, self.build, self.pull, self.use, self.cache, self.run, self.stack, self.clean]
                self.dice.choice(steps)(store)

    def build(self, store: Store) -> None:
        numbers = self.dice.sample(range(LAYERS), 2)
        image = new_image(store, [new_layer(store, content(number)) for number in numbers], self.name())
        assert store.images.get(str(image.id)).id == image.id
        self.read(store, image.chain)
        store.records.keep(f"key{numbers[0]}", {"layer": str(image.config.diff_ids[0])}, image.config.diff_ids[:1])

    def pull(self, store: Store) -> None:
        packed = gzip.compress(tar_of(content(self.dice.randrange(LAYERS))), mtime=0)
        diff_id = receive(store, Descriptor.of(packed, mediatypes.OCI_LAYER_GZIP), io.BytesIO(packed))
        self.read(store, Chain((diff_id,)))

    def use(self, store: Store) -> None:
        try:
            image = store.images.get(self.name())
        except BlobMissing:
            return
        self.read(store, image.chain)
        store.variants.compress(image.config.diff_ids[0], "gzip")

    def cache(self, store: Store) -> None:
        record = store.records.find(f"key{self.dice.randrange(LAYERS)}")
        if record is not None:
            self.read(store, Chain(store.records.layers(record.key)))

    def run(self, store: Store) -> None:
        low, high = (new_layer(store, content(number)) for number in self.dice.sample(range(LAYERS), 2))
        chain = Chain((low.diff_id,))
        with store.snapshots.prepare(chain) as work:
            assert len(os.listdir(work.root)) == 2
            for name, data in content(0).items():
                (work.root / name).write_bytes(data if isinstance(data, bytes) else b"")
            store.snapshots.commit(work, new_layer(store, content(0)).diff_id)
        with store.snapshots.view(chain.push(high.diff_id)) as root:
            assert (root / "last").read_bytes() in [b"%d" % number for number in range(LAYERS)]

    def stack(self, store: Store) -> None:
        numbers = self.dice.choices(range(4), k=self.dice.randint(1, 20))
        chain = Chain(tuple(new_layer(store, content(number)).diff_id for number in numbers))
        with store.snapshots.view(chain) as root:
            assert sorted(os.listdir(root)) == sorted({*(f"f{number}" for number in numbers), "last"})
            assert (root / "last").read_bytes() == b"%d" % numbers[-1]

    def clean(self, store: Store) -> None:
        prune(store, all=self.dice.random() < 0.3)

    def read(self, store: Store, chain: Chain) -> None:
        for diff_id in chain.diff_ids:
            assert len(store.toc(diff_id)) == 2
            store.blobs.read(diff_id)

    def name(self) -> str:
        return f"image{self.dice.randrange(NAMES)}:1"


def main() -> None:
    root, seed, rounds = sys.argv[1:]
    private.enter()
    churn = Churn(Path(root), int(seed))
    for number in range(int(rounds)):
        churn.round()
        print(number, flush=True)


if __name__ == "__main__":
    main()
