"""Evidence that was once handed out holds for ever: the format of leaves and seals cannot change under it."""

from pathlib import Path

from ledger.seals.bundle import check_bundle, read_bundle

BUNDLE = Path(__file__).parents[1] / "contract" / "evidence" / "v1.json"


def test_a_bundle_of_the_first_format_is_still_proven() -> None:
    verdict = check_bundle(read_bundle(BUNDLE))

    assert verdict.is_proven
    assert (verdict.events, verdict.unsealed, verdict.erased, verdict.links_missing) == (3, 0, 0, 0)
