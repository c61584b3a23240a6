"""`pybuild login`: credentials, kept where docker keeps them."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild login registry.example.org\n"
    "  pybuild login -u ada --password-stdin registry.example.org < password"
)
@click.argument("server", required=False, default="docker.io")
@click.option("-u", "--username", metavar="NAME")
@click.option("-p", "--password", metavar="WORD", help="Seen by everyone on this machine; rather use --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--get-login", is_flag=True, help="Only print as whom one is logged in.")
@click.option("--tls-verify/--no-tls-verify", default=True, help="Demand TLS and valid certificates.")
@click.option("--authfile", metavar="FILE", help="Keep them there (REGISTRY_AUTH_FILE).")
@click.pass_obj
def login(
    context: Context,
    server: str,
    username: str | None,
    password: str | None,
    password_stdin: bool,
    get_login: bool,
    tls_verify: bool,
    authfile: str | None,
) -> None:
    """Check a username and password with SERVER and remember them for push and pull."""
    from pybuild.transfers import client, host_of
    from registry.credentials import Credentials
    from registry.errors import Unauthorized

    host = host_of(server)
    known = Credentials(authfile=Path(authfile) if authfile else None)
    if get_login:
        found = known.find(host)
        if found is None:
            raise click.ClickException(f"not logged in to {host}")
        click.echo(found.username)
        return
    if password is not None and password_stdin:
        raise click.UsageError("--password and --password-stdin exclude each other")
    if password_stdin:
        if not username:
            raise click.UsageError("--password-stdin needs --username")
        password = sys.stdin.readline().rstrip("\r\n")
    if username is None and password is None and (kept := known.find(host)) is not None:
        click.echo(f"Authenticating with existing credentials... [Username: {kept.username}]")
        with suppress(Unauthorized):
            client(context, authfile=authfile, tls_verify=tls_verify).check(host)
            click.echo("Login Succeeded")
            return
        click.echo("they are not taken any more", err=True)
    username = username or click.prompt("Username", err=True)
    password = password or click.prompt("Password", hide_input=True, err=True)
    client(context, creds=f"{username}:{password}", tls_verify=tls_verify).check(host)
    where = known.login(host, username, password)
    click.echo(f"Login Succeeded; kept in {where}")
