"""`taskledger keys …`: keys are shown once, listed without their secrets, rotated and revoked."""

from typer.testing import CliRunner, Result

from api.cli import app
from tests.integration.commands_given import answer_of


def _run(database_url: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words], env={"DATABASE_URL": database_url})


def test_a_key_is_made_rotated_listed_and_revoked(database_url: str) -> None:
    made = _run(database_url, "create", "shop", "--scope", "read", "--scope", "submit", "--rate", "5")
    rotated = _run(database_url, "rotate", "shop", "--overlap", "0", "--json")
    listed = _run(database_url, "list", "--json")
    revoked = _run(database_url, "revoke", "shop", "--reason", "gone")
    after = _run(database_url, "list")

    token, new = made.stdout.strip(), answer_of(rotated.stdout)["key"]
    assert token.startswith("tl_")
    assert token != new
    [key] = answer_of(listed.stdout)["keys"]
    assert (key["name"], key["scopes"], key["rate_max"], key["state"]) == ("shop", ["read", "submit"], 5, "good")
    assert token not in listed.stdout
    assert revoked.exit_code == 0
    assert "revoked" in after.stdout


def test_what_is_wrong_ends_with_its_own_exit_code(database_url: str) -> None:
    unknown_scope = _run(database_url, "create", "shop", "--scope", "write")
    past = _run(database_url, "create", "shop", "--scope", "read", "--expires", "2020-01-01")
    nobody = _run(database_url, "revoke", "nobody")
    _run(database_url, "create", "shop", "--scope", "read")
    twice = _run(database_url, "create", "shop", "--scope", "read")

    assert (unknown_scope.exit_code, past.exit_code, nobody.exit_code, twice.exit_code) == (2, 2, 3, 5)
    assert "scope must be one of read, submit, operate, admin, got 'write'" in unknown_scope.stderr
    assert "expires_at must be in the future, got 2020-01-01" in past.stderr.replace("'", "")
