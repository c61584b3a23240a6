"""`--format` reads Go's templates as docker does; tables and filters."""

import json
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuild.formats.filters import globbed, labelled, parse
from pybuild.formats.table import emit, table, truncated, unescaped
from pybuild.formats.template import Template

VALUE: dict[str, Any] = {
    "Name": "x",
    "Count": 3,
    "Share": 1.5,
    "List": [1, 2],
    "Labels": {"k": "v", "a.b": "w"},
    "Tidy": {"k": "v"},
    "State": {"Healthy": True},
    "On": True,
    "None": None,
    "Empty": [],
    "Mounts": [{"To": "/p"}, {"To": "/q"}],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "x"),
        ("{{ .List }} {{.Labels}} {{.On}} {{.None}}", "[1 2] map[a.b:w k:v] true <no value>"),
        ("{{json .Labels}}", '{"k":"v","a.b":"w"}'),
        ("{{.List | json}}", "[1,2]"),
        ("{{range .Mounts}}{{.To}}{{$.Name}};{{end}}", "/px;/qx;"),
        ("{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}", "0=1 1=2 "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range $k, $v := .Labels}}{{$k}}{{$v}} {{end}}", "a.bw kv "),
        ("{{if .Empty}}a{{else if .On}}b{{else}}c{{end}}", "b"),
        ("{{with .Labels}}{{.k}}{{end}}", "v"),
        ('{{index .Labels "a.b"}}|{{index .Labels "none"}}|{{index .List 1}}', "w||2"),
        ("{{(index .Mounts 1).To}}", "/q"),
        ('{{join .List ", "}}', "1, 2"),
        ('{{printf "%s-%d %q" .Name .Count .Name}}', 'x-3 "x"'),
        ('{{printf "%5d|%-3s|%.2f|%v%%" .Count .Name .Share .On}}', "    3|x  |1.50|true%"),
        ("{{$n := .Count}}{{if and .On (gt $n 2)}}many{{end}}", "many"),
        ('{{if or (eq .Name "a" "x") .None}}yes{{end}}{{not .On}}', "yesfalse"),
        ("a {{- .Name -}}  b{{/* not shown */}}", "axb"),
        ('{{`raw "text"`}}{{upper .Name | lower}}', 'raw "text"x'),
        ("{{.Labels.none}}|{{if .Labels.none}}a{{end}}", "<no value>|"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        ("{{with .State.Health}}{{.Status}}{{end}}", ""),
        ("plain }} text", "plain }} text"),
        ("", ""),
    ],
)
def test_templates_give_what_go_gives(template: str, text: str) -> None:
    assert Template(template).render(VALUE) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.name}}", "did you mean .Name"),
        ("{{.Tidy.q}}", "there are .k"),
        ("{{.State.Helth}}", "did you mean"),
        ("{{.State.Health.Status}}", "has no fields"),
        ("{{.Name.More}}", "has no fields"),
        ("{{lowr .Name}}", "did you mean lower"),
        ("{{.Name", "column"),
        ("{{if .On}}open", "column"),
        ("{{}}", "column"),
        ("{{$gone}}", "nothing has set"),
        ("{{index .List 9}}", "index"),
        ("{{range .Count}}x{{end}}", "has no items"),
        ("{{range .Name}}x{{end}}", "has no items"),
        ('{{printf "%d" .Name}}', "for numbers"),
        ('{{printf "%s"}}', "takes 1"),
        ('{{printf "x" .Name}}', "gets 1"),
        (r'{{"\x41"}}', "unknown escape"),
        ("{{len .None}}", "len"),
    ],
)
def test_what_a_template_cannot_have_is_said(template: str, words: str) -> None:
    with pytest.raises(click.UsageError, match=words.replace(".", r"\.")):
        Template(template).render(VALUE)


@given(st.text())
def test_any_text_is_a_template_or_a_usage_error(text: str) -> None:
    try:
        Template(text).render(VALUE)
    except click.UsageError:
        assert "{{" in text


@given(st.text('{}.$|()"` -:=,if end rangewithelse/*NameList012\\', max_size=40))
def test_scraps_of_templates_never_crash(text: str) -> None:
    try:
        Template("{{" + text + "}}").render(VALUE)
    except click.UsageError as error:
        assert error.message


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_stays(text: str) -> None:
    assert Template(text).render({}) == text


def test_tables_are_as_wide_as_their_widest_cell() -> None:
    assert table(["A", "LONG"], [["wide", "x"], ["y", ""]]) == "A      LONG\nwide   x\ny"
    assert table(["A", "B", "C"], [["x" * 9, "", "y"]], 10) == "A           B         C\nxxxxxxxxx             y"


def test_a_list_is_shown_as_columns_template_headed_template_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"ID": "1", "CreatedAt": "now"}, {"ID": "22", "CreatedAt": "then"}]
    columns = {"ID": "IMAGE ID"}
    emit(rows, columns, None)
    assert capsys.readouterr().out == "IMAGE ID\n1\n22\n"
    emit(rows, columns, r"{{.ID}}\t{{.CreatedAt}}")
    assert capsys.readouterr().out == "1\tnow\n22\tthen\n"
    emit(rows, columns, r"table {{.CreatedAt}}\t{{.ID}}")
    assert capsys.readouterr().out == "CREATED AT   IMAGE ID\nnow          1\nthen         22\n"
    emit([], columns, "table {{.ID}}")
    assert capsys.readouterr().out == "IMAGE ID\n"
    emit(rows, columns, "json")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


@given(st.text(), st.integers(1, 50))
def test_what_is_cut_shows_it(text: str, width: int) -> None:
    cut = truncated(text, width)
    assert len(cut) <= width
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


def test_filters() -> None:
    assert parse(["label=a=b", "label=c"], ["label", "name"]) == {"label": ["a=b", "c"]}
    for wrong in ("label", "size=3"):
        with pytest.raises(click.UsageError, match="label, name"):
            parse([wrong], ["label", "name"])
    assert labelled({"a": "b"}, ["a", "a=b"])
    assert not labelled({"a": "b"}, ["a=c"])
    assert not labelled({}, ["a"])
    assert globbed("docker.io/library/app", ["ap*"])
    assert not globbed("docker.io/library/app", ["lib*"])


def test_escapes_of_the_shell_and_of_go() -> None:
    pattern = unescaped(r'{{.Name}}\t{{range .List}}{{.}}{{"\n"}}{{end}}\n')
    assert Template(pattern).render(VALUE) == "x\t1\n2\n\n"


def test_cells_hold_nothing_that_a_terminal_would_obey() -> None:
    drawn = table(["NAME", "X"], [["\x1b[31mred\x07\u202e", "\udcff\ud800"], ["two\nlines", "ü"]])
    assert drawn == "NAME         X\n\ufffd[31mred\ufffd\ufffd   \ufffd\ufffd\ntwo\ufffdlines    ü"
