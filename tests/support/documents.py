"""Manifests, indexes and configs as somebody hostile would write them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

DIGEST = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 1.5, True, "", "x", [], {}, [1], {"a": 1}, [None], {"a": None}, [[]], [{}]]
)


def twisted(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object each of whose fields is right, odd or missing."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(value, value, ODD) for name, value in fields.items()})


PLATFORM = twisted(
    os=st.just("linux"),
    architecture=st.just("amd64"),
    variant=st.just("v8"),
    **{"os.version": st.just("1"), "os.features": st.just(["x"])},
)
DESCRIPTOR = twisted(
    mediaType=st.sampled_from(["application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"]),
    digest=st.just(DIGEST),
    size=st.just(0),
    platform=PLATFORM,
    annotations=st.just({"a": "b"}),
    urls=st.just(["https://example.org/"]),
    artifactType=st.just("x/y"),
    data=st.just(""),
)
GOOD = st.just({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 0})


def json_values() -> st.SearchStrategy[dict[str, Any]]:
    """Documents that are nearly manifests, indexes or configs."""
    entry = st.one_of(GOOD, DESCRIPTOR)
    return (
        twisted(
            schemaVersion=st.just(2),
            mediaType=st.sampled_from([f"application/vnd.oci.image.{kind}.v1+json" for kind in ("manifest", "index")]),
            config=entry,
            layers=st.lists(entry, max_size=2),
            manifests=st.lists(entry, max_size=2),
            subject=entry,
            annotations=st.just({"a": "b"}),
            artifactType=st.just("x/y"),
            rootfs=twisted(type=st.just("layers"), diff_ids=st.lists(st.just(DIGEST), max_size=2)),
            history=st.lists(twisted(created_by=st.just("x"), empty_layer=st.booleans()), max_size=2),
        )
        | twisted(
            schemaVersion=st.just(2), config=entry, layers=st.lists(entry, max_size=2), subject=entry, annotations=ODD
        )
        | twisted(schemaVersion=st.just(2), manifests=st.lists(entry, max_size=2), subject=entry)
    )
