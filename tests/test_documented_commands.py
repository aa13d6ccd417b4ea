"""Every command of the README and the pages is run as it is written; what a page shows as printed, was printed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pages import OURS, PAGES, README, ROOT, SMOKE, blocks, call, commands, make_workplace, marked, split_commands

NOT_RUN = {
    "python3 -m venv .venv": ".ci/run executes the README's test command in a fresh environment",
    "pip install": "it installs this project anew; .ci/run and tox do",
    "pre-commit install": "it changes the clone it is called in",
    "tox": "it is what runs this test",
    "python -m data.download": "it fetches from the publishers; tests/test_download.py has a server of its own",
    "python -m benchmarks.speed": "it times this machine for minutes, and no test does",
}
"""Commands that are not run here, by how they begin, with the reason."""
STAND_INS = {"NAME": "noise", "FILE": "pca_gauss.py"}
"""What a word in capitals on a page is replaced by; RUN_ID, RUN_A and RUN_B by runs that are there, RECORD by the
folder of one."""
DISTINCT = {command: page.name for page in reversed(PAGES) for command in reversed(commands(page))}
DISTINCT = dict(reversed(DISTINCT.items()))


def why_not(command: str) -> str | None:
    """Why a command is not run here; None for those that are."""
    return next((why for begin, why in NOT_RUN.items() if f"{command} ".startswith(f"{begin} ")), None)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it, with one finished run."""
    folder = tmp_path_factory.mktemp("reader")
    make_workplace(folder)
    done = call("python -m benchmarks.run --generator noise", folder, **SMOKE)
    assert done.returncode == 0, done.stderr
    return folder


@cache
def runs(folder: Path) -> list[str]:
    """Ids of the first run's records, that of real images alone last."""
    done = call("python -m leaderboard.build --out first", folder, **SMOKE)
    assert done.returncode == 0, done.stderr
    from benchmarks.records.store import Records

    found = {r["name"]: r["run_id"][:16] for r in Records(folder / "results/runs")}
    return [found["noise add 0.5"], found["duplicate add 0.5"]]


def filled(command: str, folder: Path) -> str:
    """The command with its words in capitals replaced."""
    noise, duplicate = runs(folder)
    stand_ins = {**STAND_INS, "RUN_ID": noise, "RUN_A": noise, "RUN_B": duplicate, "RECORD": f"results/runs/{noise}"}
    return " ".join(stand_ins.get(word, word) for word in command.split(" "))


@pytest.mark.slow
@pytest.mark.parametrize("command", [pytest.param(c, id=f"{p}: {c[:90]}") for c, p in DISTINCT.items()])
def test_every_command_does_what_the_page_says_as_it_is_written(command: str, workplace: Path) -> None:
    if why := why_not(command):
        pytest.skip(why)
    assert OURS.match(command), "neither a command of this project nor in NOT_RUN"
    done = call(filled(command, workplace), workplace, **SMOKE)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_no_command_is_left_out_without_need() -> None:
    for begin in NOT_RUN:
        assert any(f"{c} ".startswith(f"{begin} ") for c in DISTINCT), f"no page has `{begin}`"


def test_the_readme_has_the_two_commands_that_do_everything() -> None:
    text = README.read_text(encoding="utf-8")
    for mark, ending in (("run", "--generator latent_ddpm --ratio 0.5"), ("test", "tox")):
        block = re.search(rf"<!-- {mark} -->\n```bash\n(.*?)```", text, re.S)
        assert block, f"no block marked {mark}"
        assert "install" in block[1] and block[1].strip().endswith(ending)


# -- printed results ----------------------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    """Text with every run of white space as one blank: a terminal wraps lines where it will."""
    return " ".join(text.split())


BY_COMMAND = [(c, shown) for page in PAGES for c, shown in marked(page, "printed by:", "text").items()]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), BY_COMMAND, ids=[c for c, _ in BY_COMMAND])
def test_what_a_page_shows_is_printed_by_the_command_that_it_names(command: str, shown: str, workplace: Path) -> None:
    printed = squeezed(call(command, workplace, **SMOKE).stdout)
    for line in shown.splitlines():
        assert squeezed(line) in printed


def printed_from() -> Iterator[tuple[str, str, str]]:
    """Name of the data, command and lines of each block marked `printed from DATA`: of the last command above it."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"<!-- printed from (\S+) -->\n```text\n(.*?)^```$", text, re.M | re.S):
            above = re.findall(r"^```bash\n(.*?)^```$", text[: found.start()], re.M | re.S)[-1]
            yield found[1], split_commands(above)[-1], found[2]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "command", "shown"), [pytest.param(*row, id=row[0]) for row in printed_from()])
def test_what_a_page_shows_of_public_data_comes_from_the_command_above(
    data: str, command: str, shown: str, tmp_path: Path
) -> None:
    there = Path(os.environ.get("SYNTHWORTH_DATA") or "/nowhere") / data
    if not there.exists():
        pytest.skip(f"SYNTHWORTH_DATA holds no {data}")
    (tmp_path / data).symlink_to(there)
    done = call(command, tmp_path)
    assert done.returncode == 0, done.stderr
    for line in shown.splitlines():
        assert squeezed(line) in squeezed(done.stdout)


def test_every_verdict_and_worth_on_a_page_is_that_of_a_committed_record() -> None:
    from benchmarks.records.store import Records
    from benchmarks.verdicts.over_trainings import entries_of, pooled_sentences
    from benchmarks.verdicts.sentences import sharing_sentence, worth_sentence

    said: list[str] = []
    for folder in ("", "sharing", "elsewhere"):
        kept = Records(ROOT / "results/reference" / folder)
        records = [r for r in kept if r["status"] == "ok"]
        assert records
        said += [r["verdict"] for r in records] + [worth_sentence(r) for r in records if r["worth"]]
        said += [other["verdict"] for r in records for other in r.get("elsewhere", {}).values()]
        said += [r["robustness"]["verdict"] for r in records if "robustness" in r]
        said += [*map(sharing_sentence, records), *pooled_sentences(entries_of(kept, records))]
    known = squeezed(" | ".join(said))
    shown = [
        sentence
        for page in PAGES
        for block in blocks(page, "text")
        for sentence in re.split(r"^(?:VERDICT|WORTH|SHARING) +", block, flags=re.M)[1:]
    ]
    assert len(shown) >= 3
    for sentence in shown:
        assert squeezed(sentence) in known


def test_every_result_on_a_page_says_where_it_comes_from() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^(.*)\n```text\n(.*?)^```$", text, re.M | re.S):
            above = text[: found.start(2)].splitlines()[-2]
            if re.search(r"^(FOUND|FAIL|pass) |checks passed$", found[2], re.M):
                assert above.startswith("<!-- printed"), f"{page.name}: {found[2][:60]}"


# -- the guide's own tests ----------------------------------------------------------------------------------------


def test_the_guides_own_pytest_passes(workplace: Path) -> None:
    shown = {name: code for page in PAGES for name, code in marked(page, "test:", "python").items()}
    assert shown
    for name, code in shown.items():
        (workplace / name).write_text(code, encoding="utf-8")
        done = call(f"python -m pytest -q -p no:cacheprovider {name}", workplace)
        assert done.returncode == 0, done.stdout
        assert re.search(r"^\d+ passed", done.stdout, re.M)


@pytest.mark.parametrize(("name", "most"), [("pca_gauss.py", 35), ("fade.py", 28)])
def test_the_short_plugins_are_short(name: str, most: int) -> None:
    (code,) = (c for page in PAGES for n, c in marked(page, "plugin:", "python").items() if n == name)
    assert len([line for line in code.splitlines() if line.strip()]) <= most


def test_every_block_of_python_is_executed_or_compared_with_the_code() -> None:
    """By its mark: a plugin file is loaded by a command that is run, a test is run, a contract is compared."""
    loaded = {file for c in DISTINCT if not why_not(c) for file in re.findall(r"[\w-]+\.py\b", c)}
    for page in PAGES:
        n_seen = 0
        for mark in ("plugin:", "test:", "compared:"):
            for name in marked(page, mark, "python"):
                n_seen += 1
                assert mark != "plugin:" or name in loaded, f"{page.name}: no command that is run loads {name}"
                if mark == "compared:":
                    file, _, test = name.partition("::")
                    assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), name
        fenced = re.findall(r"^ *```(?:py|python)\b", page.read_text(encoding="utf-8"), re.M)
        assert n_seen == len(fenced), f"{page.name}: a block of Python has no mark that says what executes it"
