"""Many builds from one file: `docker-bake.hcl`, `docker-bake.json` or the `build:` sections of a compose file.

`files` reads them, `hcl` and `expressions` say what they mean, `target` merges what was said several times,
`definition` makes the targets and groups, `overrides` is `--set`, `plan` what is to be built in which order,
`building` builds it.
"""
