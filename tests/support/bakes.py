# ruff: noqa: E501
"""Bake files, and what buildx prints of them, kept as data.

`python -m tests.support.bakes BUILDX` asks a buildx (the one of the chroot that `bench/peers/sid` makes) and writes
`PRINTED` anew; the tests only read it. A case that buildx refuses has None.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PRINTED = Path(__file__).with_name("bakes.json")
HCL = "docker-bake.hcl"


class Case(NamedTuple):
    """Files by name, the arguments of `bake --print`, and more of the environment."""

    files: Mapping[str, str]
    args: Sequence[str] = ()
    env: Mapping[str, str] = {}


EVERYTHING = """
variable "TAG" { default = "latest" }
target "app" {
  tags = ["x:${TAG}", "x:${TAG}"]
  secret = ["id=a,src=tok", "id=c,env=D"]
  output = ["type=oci,dest=x.tar"]
  cache-from = ["type=registry,ref=a/b", "user/app:cache"]
  cache-to = ["type=inline"]
  attest = ["type=provenance,mode=max", "type=sbom"]
  args = { A = null, B = "x<", N = 3, T = true }
  ulimits = ["nofile=10:20"]
  shm-size = "128m"
  contexts = { base = "target:base", lib = "../lib" }
  extra-hosts = { a = "1.2.3.4" }
  description = "all of it"
  no-cache = true
  no-cache-filter = ["x", "y"]
  pull = true
  labels = { "a.b" = "c" }
  entitlements = ["network.host"]
  annotations = ["a=b", "index:c=d"]
  call = "check"
  network = "host"
  platforms = ["linux/amd64", "linux/arm64"]
  target = "last"
}
target "base" {
  dockerfile-inline = <<EOT
FROM scratch
RUN ${TAG} "x" \\n
EOT
}
target "m" {
  name = "m-${a}-${replace(b, ".", "-")}"
  matrix = { b = ["1.0", "2"], a = ["x", "y"] }
  args = { V = b, W = a }
}
group "default" { targets = ["app", "m"] }
"""
INHERITED = """
target "a" {
  args = { X = "1", Y = "1" }
  tags = ["a:1"]
  labels = { l = "a" }
  platforms = ["linux/amd64"]
  cache-from = ["a/c"]
  annotations = ["k=a"]
  contexts = { c = "a" }
  dockerfile = "A"
}
target "b" {
  inherits = ["a"]
  args = { X = "2" }
  cache-from = ["b/c"]
  annotations = ["k=b"]
}
target "c" {
  inherits = ["b", "o"]
  tags = ["c:1"]
  context = "dir"
}
target "o" {
  args = { Y = "3", Z = "${target.a.args.X}!" }
  output = ["out"]
}
group "g" { targets = ["c", "h"] }
group "h" { targets = ["b"] }
"""
FUNCTIONS = """
variable "V" { default = "1.2.3" }
variable "L" { default = ["a", "b"] }
variable "YES" { default = true }
variable "N" { default = 5 }
variable "EMPTY" {}
variable "TYPED" {
  type = list(string)
  default = ["q"]
}
top = "t-${V}"
function "up" {
  params = [x]
  variadic_params = more
  result = "${upper(x)}${join("", more)}"
}
target "default" {
  args = {
    a = up("a", "b", "c")
    b = YES ? "yes" : "no"
    c = N + 2 * 3 - 10 / 4
    d = join(",", [for x in L: upper(x) if x != "b"])
    e = jsonencode({for k, v in {x = 1, y = [true, null]} : "${k}!" => v})
    f = top
    g = "%{ if YES }on%{ else }off%{ endif }"
    h = "%{ for x in L }<${x}>%{ endfor }"
    i = "$${not} %%{not} \\"q\\" \\u00e9"
    j = element(split(".", V), 1)
    k = format("%s-%03d-%v", V, N, L)
    l = regex_replace("hello", "l+", "L")
    m = try(nope, "fallback")
    n = substr("hello", 1, 3)
    o = sha256("x")
    p = base64encode("x")
    q = notequal("", EMPTY) ? "x" : "empty"
    r = length(L) > 1 && !YES || N >= 5
    s = title("hello world")
    t = trimprefix("v1", "v")
    u = contains(L, "a")
    v = lookup({a = "x"}, "b", "dflt")
    w = L[0]
    x = join("", TYPED)
    y = (1 + 2) * 3
    z = index(L, 1)
    aa = join(",", concat(L, ["c"]))
    ab = join(",", distinct(["a", "a"]))
    ac = join(",", flatten([["a"], ["b", ["c"]]]))
    ad = join(",", sort(["b", "a"]))
    ae = join(",", keys(merge({z = 1}, {a = 2})))
    af = parseint("ff", 16)
    ag = max(1, 3, 2)
    ah = jsonencode(setproduct(["a"], ["b", "c"]))
    ai = jsonencode(zipmap(["a"], ["b"]))
    aj = chomp("x\\n")
    ak = indent(2, "a\\nb")
    al = coalesce("", "x")
    am = md5("x")
    an = timeadd("2020-01-01T00:00:00Z", "1h")
    ao = formatdate("YYYY-MM-DD hh:mm", "2020-01-02T03:04:05Z")
    ap = jsonencode(range(3))
    aq = jsonencode(chunklist(["a", "b", "c"], 2))
    ar = sanitize("a/b.c")
    as = urlencode("a b&c")
    at = jsonencode(slice(["a", "b", "c"], 1, 2))
    au = strlen("é")
    av = jsonencode(csvdecode("a,b\\n1,2"))
    aw = jsonencode(regexall("[a-z]", "a1b"))
    ax = jsonencode(reverselist(["a", "b"]))
    ay = BAKE_CMD_CONTEXT
    az = jsonencode(compact(["a", "", "b"]))
    ba = 7 % 3
    bb = -N
    bc = jsonencode(values({b = 1, a = 2}))
    bd = 1.5
    be = abs_or(1)
    bf = jsonencode(jsondecode("{\\"a\\": [1]}"))
    bg = dirname("/a/b/c")
    bh = basename("/a/b/c")
    bi = indexof(L, "b")
    bj = jsonencode(formatlist("%s!", L))
    bk = hasindex(L, 7)
    bl = modulo(7, 4)
    bm = trimspace("  x ")
    bn = trim("..x..", ".")
    bo = reverse("abc")
    bp = replace("aXa", "X", "-")
    bq = lower("ABC")
  }
  tags = [notequal("", EMPTY) ? "a:${EMPTY}" : "", "b:${V}"]
}
function "abs_or" {
  params = [n]
  result = absolute(n)
}
"""
CASES: Mapping[str, Case] = {
    "everything": Case({HCL: EVERYTHING, "tok": "x"}, env={"D": "x"}),
    "environment": Case({HCL: EVERYTHING, "tok": "x"}, ["base", "m-x-2"], {"TAG": "v9"}),
    "inherits": Case({HCL: INHERITED}, ["g"]),
    "default of names": Case({HCL: INHERITED}, ["b", "a"]),
    "no default": Case({HCL: INHERITED}),
    "functions": Case({HCL: FUNCTIONS}),
    "functions with environment": Case({HCL: FUNCTIONS}, env={"YES": "0", "N": "7", "EMPTY": "e", "TYPED": "x,y"}),
    "bad bool": Case({HCL: FUNCTIONS}, env={"YES": "maybe"}),
    "set": Case(
        {HCL: INHERITED},
        [
            "g",
            "--set",
            "c.args.X=9",
            "--set",
            "*.platform=linux/arm64",
            "--set",
            "b.tags=q:1",
            "--set",
            "b.tags=q:2",
            "--set",
            "a.tags+=a:2",
            "--set",
            "*.args.FROMENV",
            "--set",
            "c.labels.l=set",
            "--set",
            "c.contexts.c=z",
            "--set",
            "c.no-cache=true",
            "--set",
            "c.output=type=local,dest=o",
            "--set",
            "b.cache-from=n/c",
            "--set",
            "b.dockerfile=DD",
            "--set",
            "b.context=else",
            "--set",
            "b.target=st",
        ],
        {"FROMENV": "env"},
    ),
    "set of a parent": Case({HCL: INHERITED}, ["c", "--set", "a.args.X=set"]),
    "set of none": Case({HCL: INHERITED}, ["c", "--set", "nope.args.X=set"]),
    "set of a wrong key": Case({HCL: INHERITED}, ["c", "--set", "c.nope=set"]),
    "flags": Case({HCL: INHERITED}, ["a", "o", "--no-cache", "--pull", "--push"]),
    "unknown": Case({HCL: INHERITED}, ["nope"]),
    "override": Case(
        {
            HCL: 'variable "X" { default = "1" }\ntarget "default" {\n args = { A = X, B = "b" }\n tags = ["a"]\n}\n',
            "docker-bake.override.hcl": 'variable "X" { default = "2" }\ntarget "default" {\n args = { B = "o" }\n}\n',
            "docker-bake.json": '{"target": {"default": {"args": {"J": "${X}"}, "dockerfile": "J"}}}',
        }
    ),
    "several": Case(
        {
            "a.hcl": 'target "x" {\n tags = ["a"]\n}\ngroup "default" { targets = ["x"] }\n',
            "b.hcl": 'target "x" {\n dockerfile = "B"\n}\ntarget "y" {}\ngroup "default" { targets = ["y"] }\n',
        },
        ["-f", "a.hcl", "-f", "b.hcl"],
    ),
    "json": Case(
        {
            "docker-bake.json": json.dumps(
                {
                    "variable": {"T": {"default": "1"}},
                    "group": {"default": {"targets": ["a", "b"]}},
                    "target": {
                        "a": {"tags": ["x:${T}"], "args": {"Q": '${upper("q")}', "L": 'a\\b"c'}},
                        "b": {"inherits": ["a"], "no-cache": True, "output": [{"type": "local", "dest": "d"}]},
                    },
                }
            )
        }
    ),
    "validation": Case(
        {
            HCL: 'variable "A" {\n default = "x"\n validation {\n  condition = A != "x"\n  error_message = "not x"\n }\n}\n'
            'target "default" {}\n'
        }
    ),
    "validation passed": Case(
        {
            HCL: 'variable "A" {\n default = "x"\n validation {\n  condition = A != "x"\n  error_message = "not x"\n }\n}\n'
            'target "default" {\n args = { A = A }\n}\n'
        },
        env={"A": "y"},
    ),
    "unknown function": Case({HCL: 'target "default" {\n args = { A = nope("x") }\n}\n'}),
    "unknown variable": Case({HCL: 'target "default" {\n args = { A = NOPE }\n}\n'}),
    "unknown key": Case({HCL: 'target "default" {\n tag = ["x"]\n}\n'}),
    "loop": Case({HCL: 'a = b\nb = a\ntarget "default" {\n args = { A = a }\n}\n'}),
    "inherits itself": Case({HCL: 'target "default" {\n inherits = ["default"]\n}\n'}),
    "links itself": Case({HCL: 'target "default" {\n contexts = { a = "target:default" }\n}\n'}),
    "links in a ring": Case(
        {
            HCL: 'target "default" {\n contexts = { a = "target:b" }\n}\ntarget "b" {\n contexts = { a = "target:default" }\n}\n'
        }
    ),
    "matrix without name": Case({HCL: 'target "default" {\n matrix = { a = ["x"] }\n}\n'}),
    "matrix of objects": Case(
        {
            HCL: 'target "default" {\n name = "t-${item.n}"\n matrix = {\n  item = [{ n = "a", v = 1 }, { n = "b", v = 2 }]\n }\n'
            " args = { V = item.v }\n}\n"
        }
    ),
    "heredoc": Case({HCL: 'target "default" {\n dockerfile-inline = <<-EOT\n    FROM x\n      RUN y "z"\n  EOT\n}\n'}),
    "objects": Case(
        {
            HCL: 'target "default" {\n output = [{ type = "image", push = true, name = "a/b" }]\n'
            ' cache-to = [{ type = "registry", ref = "x/y", mode = "max" }]\n'
            ' secret = [{ id = "s", env = "D" }, { id = "tok", src = "tok" }]\n'
            ' attest = [{ type = "provenance", mode = "max" }]\n}\n',
            "tok": "",
        }
    ),
    "network of hosts": Case({HCL: 'target "default" {\n network = "host"\n}\n'}),
    "epoch": Case({HCL: 'target "default" {}\n'}, env={"SOURCE_DATE_EPOCH": "7"}),
    "compose": Case(
        {
            "compose.yaml": """
services:
  web.x:
    image: me/web:${TAG:-dev}
    build:
      context: ./web
      dockerfile: D
      args: {A: 1, B: null, C: true, D: "$$x"}
      cache_from: [a/b]
      labels: ["x=y"]
      secrets: [tok, {source: tok2, target: /x}]
      shm_size: 64M
      ulimits: {nofile: {soft: 1, hard: 2}, nproc: {soft: 3, hard: 3}}
      additional_contexts: {r: "service:db", q: ../q}
      platforms: [linux/amd64]
      network: host
  ext:
    image: img
    build:
      context: .
      tags: [one, two]
      target: t
      x-bake: {tags: [t1], no-cache: true, output: type=registry, platforms: linux/arm64}
  db:
    build: ./db
    environment: {X: y}
  none: {image: foo}
secrets:
  tok: {file: ./tok}
  tok2: {environment: TT}
""",
            "tok": "x",
            ".env": "TAG=fromfile\n",
        },
        env={"TT": "1"},
    ),
    "compose and hcl": Case(
        {
            "compose.yaml": "services:\n  app:\n    image: a:1\n    build:\n      context: .\n      args: {A: compose}\n",
            HCL: 'target "app" {\n args = { A = "hcl" }\n tags = ["h"]\n}\n',
        }
    ),
}


def setting(case: Case, folder: Path) -> dict[str, str]:
    """The files written; the environment of the command."""
    for name, content in case.files.items():
        (folder / name).write_text(content)
    return {"PATH": os.environ["PATH"], "HOME": str(folder), **case.env}


def main(buildx: str) -> None:
    """Ask buildx for all of them."""
    printed = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            env = setting(case, Path(folder))
            command = [buildx, "bake", "--print", "--progress", "quiet", *case.args]
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
            printed[name] = json.loads(done.stdout) if done.returncode == 0 else None
    PRINTED.write_text(json.dumps(printed, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
