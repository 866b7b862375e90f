"""Hidden tests: scored on what a secret draws, and neither the secret nor its seed is anywhere but in its file."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from channelbench import registry
from channelbench.benchmarks import hidden
from channelbench.benchmarks.hidden import Secret, drawn
from channelbench.benchmarks.plan import RunPlan
from channelbench.benchmarks.runner import Reporter, run
from channelbench.benchmarks.stopping import Stopped, look_into
from channelbench.card import Card
from channelbench.contracts import GenieMethod
from channelbench.errors import RequestError
from channelbench.folders.finding import cells_of, find_cell
from channelbench.folders.showing import said
from channelbench.generation import make_spec
from channelbench.generator import Block
from channelbench.generators.tr38901.drops import Streams
from channelbench.leaderboard import report
from channelbench.noise import noise_key, unit_noise
from channelbench.results import Result
from channelbench.spec import SizesSpec
from channelbench.store import open_dataset
from channelbench.tasks.link.observations import LaterSlotsObservation
from channelbench.testing import make_dataset, small_spec
from channelbench.testing.factories import FewRays, FewRaysSource

SECRET = "correct horse battery staple"
SEED = int(hashlib.sha256(SECRET.encode()).hexdigest()[:32], 16)
FORMS = (SECRET, str(SEED), f"{SEED:x}", f"{SEED:X}")
MEASURED = ("created", "costs", "derived_costs", "command", "threads")


class Tells(GenieMethod):
    """A reference that says all it knows when it fails."""

    card = Card(name="tells", description="Fails, and tells the seed.", reference="none", family="reference")
    observes = (LaterSlotsObservation,)

    def predict_knowing(self, task, observation, genie):
        raise ValueError(f"of {genie.seed} or {genie.seed:x}, {SECRET}")


class Watches(Reporter):
    """Looks into the private folder and at all processes while the run is at work."""

    def __init__(self) -> None:
        self.rights: set[int] = set()
        self.seen: list[bytes] = []
        self.said: list[str] = []

    def finished(self, result: Result) -> None:
        for folder in _folders():
            self.rights.add(folder.stat().st_mode & 0o777)
            self.seen += [path.read_bytes() for path in folder.iterdir() if path.is_file()]
        for process in Path("/proc").glob("[0-9]*"):
            for what in ("cmdline", "environ"):
                try:
                    self.seen.append((process / what).read_bytes())
                except OSError:  # it has ended, or is somebody else's
                    continue

    def remarked(self, text: str) -> None:
        self.said.append(text)

    def began(self, plan: RunPlan) -> None:
        self.said.append(repr(plan))

    def generating(self, name: str, done: int, total: int) -> None:
        self.said.append(name)


def _folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{hidden.PREFIX}*"))


@pytest.fixture(scope="module", autouse=True)
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder of these tests' own, so that nobody else's hidden tests are looked at."""
    folder = tmp_path_factory.mktemp("temporary")
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def here() -> str:
    """The dataset ``data`` in this process alone, where jobs need no other process."""
    make_dataset(
        "memory://hidden.zarr", small_spec(sub6__num_subcarriers=8, mmwave__num_subcarriers=2, mmwave__num_beams=8)
    )
    return "memory://hidden.zarr"


def _secret(folder: Path, text: str = f"  {SECRET}\n") -> Path:
    file = folder / "secret.txt"
    file.write_text(text)
    return file


def _leaks(content: bytes) -> list[str]:
    return [form for form in FORMS if form.encode() in content]


def _bytes_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that is written, names and contents, with what is packed unpacked."""
    for path in sorted(folder.rglob("*")):
        yield str(path), str(path).encode()
        if path.is_file():
            content = path.read_bytes()
            yield str(path), content
            if path.suffix == ".npz":
                with np.load(io.BytesIO(content)) as archive:
                    yield str(path), b"".join(archive[name].tobytes() for name in archive.files)


@pytest.fixture(scope="module")
def scored(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watches, Path]:
    """A run in a worker process: its own results folder, what was seen meanwhile, the hidden folder."""
    folder = tmp_path_factory.mktemp("scored")
    watches = Watches()
    file = _secret(tmp_path_factory.mktemp("organiser"))
    methods = ["hold", "lmmse_genie"]
    done = run(data=data, methods=methods, tasks=["cp"], out=folder / "r", test_seed_file=file, reporter=watches)
    assert [cell.error for cell in done.failed] == []
    report(done.folder)
    return folder / "r", watches, done.folder


def test_what_is_written_and_shown_has_neither_secret_nor_seed(
    scored: tuple[Path, Watches, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    out, watches, folder = scored
    written = list(_bytes_of(out))
    assert len(written) > 20
    assert [name for name, content in written if _leaks(content)] == []
    assert watches.rights == {0o700}
    assert len(watches.seen) > 20
    assert [content[:80] for content in watches.seen if _leaks(content)] == []
    assert "hidden test" in watches.said
    lines = "\n".join([*watches.said, *said(find_cell("hold/cp/default/0", folder))])
    assert not _leaks(lines.encode())
    assert "hidden test, fits on dataset" in lines
    assert not _folders()


def test_a_reference_that_tells_is_not_heard(
    here: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"data": here, "methods": [Tells], "tasks": ["cp"], "test_seed_file": _secret(tmp_path)}
    with pytest.raises(RequestError, match="--methods: expected no reference of others with --test-seed-file"):
        run(out=tmp_path / "refused", **request)
    assert not (tmp_path / "refused").exists()

    monkeypatch.setattr(hidden, "is_ours", lambda method: True)
    done = run(out=tmp_path / "r", **request)
    failed = done.failed[0]
    assert failed.error == "ValueError: of … or …, …"
    assert "Traceback" in failed.traceback
    with pytest.raises(Stopped) as stopped:
        run(out=tmp_path / "debug", debug=True, **request)
    look_into(stopped.value)
    shown = "".join(capfd.readouterr())
    assert "ValueError: of … or …, …" in shown
    written = {name: content for name, content in _bytes_of(tmp_path) if not name.endswith("secret.txt")}
    assert not _leaks(b"".join(written.values()) + shown.encode() + str(stopped.value).encode())


def test_the_split_is_the_generators_own_with_the_secrets_seed(data: Path, tmp_path: Path) -> None:
    public = open_dataset(data)
    secret = Secret.read(_secret(tmp_path))
    with drawn(secret, public) as test:
        size = public.spec.sizes.test
        wanted = FewRays().sample(public.spec, Block(split="test", index=0, start=0, stop=size), SEED)
        for name in public.variables:
            np.testing.assert_array_equal(test.array(name, "test"), wanted[name])
        view, cases = test.view("test"), np.arange(size)
        assert view.size == size
        np.testing.assert_array_equal(np.concatenate(list(view.pieces("h_sub6", 0))), wanted["h_sub6"].values[:, 0])
        np.testing.assert_array_equal(view.rows("h_sub6", cases[:3], slice(1)), wanted["h_sub6"].values[:3, :1])
        power = np.mean(np.abs(wanted["h_sub6"].values.astype(np.complex128)) ** 2, axis=(1, 2, 3))
        np.testing.assert_allclose(view.sample_power("sub6"), power, rtol=1e-6)

        noise, uniform = view.noise("cp", cases, (2, 3), None)
        key = noise_key(SEED, public.spec.identity(), "test", "cp", "test")
        for ours, theirs in zip((noise, uniform), unit_noise(key, cases, (2, 3)), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert not np.array_equal(noise, public.view("test").noise("cp", cases, (2, 3), None)[0])

        assert test.seed == public.seed
        assert str(SEED) not in repr(vars(test))
        assert view.train.seed == public.seed
        np.testing.assert_array_equal(view.train.array("h_sub6"), public.array("h_sub6", "train"))
        np.testing.assert_array_equal(test.view("val").array("h_sub6"), public.array("h_sub6", "val"))


def test_the_digest_is_an_hmac_under_the_secret(scored: tuple[Path, Watches, Path], data: Path) -> None:
    public = open_dataset(data)
    size = public.spec.sizes.test
    sample = FewRays().sample(public.spec, Block(split="test", index=0, start=0, stop=size), SEED)
    split = hashlib.sha256()
    for name in public.variables:
        column = sample[name].values
        split.update(f"{name} {column.dtype.str} {list(column.shape)}\n".encode() + column.tobytes())
    message = f"channelbench hidden test\n{split.hexdigest()}\n{public.spec.canonical()}"
    digest = hmac.new(SECRET.encode(), message.encode(), "sha256").hexdigest()

    out, _, folder = scored
    assert folder == out / f"hidden-{digest[:12]}"
    manifest = json.loads((folder / "run.json").read_text())
    assert (manifest["dataset"]["digest"], manifest["dataset"]["fitted"]) == (digest, public.digest)
    assert json.loads((out / "run.json").read_text())["dataset"]["digest"] == public.digest
    for cell in cells_of(folder):
        assert cell.dataset == digest
        assert cell.test_digest == hashlib.sha256(f"{digest}\ntest".encode()).hexdigest()
        assert cell.train_digest == public.split_digest("train")


def test_the_reference_that_redraws_rays_redraws_those_of_the_secret(scored: tuple[Path, Watches, Path]) -> None:
    *_, folder = scored
    values = {cell.method: cell.scores["nmse"].value for cell in cells_of(folder) if not cell.conditions}
    assert values["lmmse_genie"] < 0.05 * values["hold"]


def test_the_same_secret_gives_the_same_cells_and_another_others(
    scored: tuple[Path, Watches, Path], here: str, tmp_path: Path
) -> None:
    *_, first = scored
    request = {"data": here, "methods": ["hold"], "tasks": ["cp"]}
    again = run(out=tmp_path / "again", test_seed_file=_secret(tmp_path, SECRET), **request).folder
    assert again.name == first.name
    other = run(out=tmp_path / "again", test_seed_file=_secret(tmp_path, SECRET[::-1]), **request).folder
    for path in sorted((again / "cells").glob("hold*")):
        one, two = (first / "cells" / path.name).read_bytes(), path.read_bytes()
        if path.suffix == ".json":
            here, there = ({k: v for k, v in json.loads(text).items() if k not in MEASURED} for text in (one, two))
            assert here == there
            else_where = json.loads((other / "cells" / path.name).read_text())
            assert else_where["scores"]["nmse"]["value"] != here["scores"]["nmse"]["value"]
        else:
            assert one == two


def test_fits_are_those_of_the_results_folder(here: str, toys: Path, tmp_path: Path) -> None:
    request = {"data": here, "methods": ["toy_methods:Notes"], "tasks": ["pe"], "out": tmp_path / "r", "seeds": 1}
    before = run(**request)
    note = next((tmp_path / "r" / "checkpoints").glob("notes*/note"))
    note.write_text("123.25")
    done = run(**request, test_seed_file=_secret(tmp_path))
    assert [cell.error for cell in done.failed] == []
    assert note.read_text() == "123.25"
    assert not (done.folder / "checkpoints").exists()
    # The prediction is the note, and something next to it.
    public, ours = (
        next(cell for cell in cells_of(folder) if cell.method == "notes" and not cell.conditions)
        for folder in (before.folder, done.folder)
    )
    assert abs(ours.scores["rmse_db"].value - public.scores["rmse_db"].value) > 5
    assert run(**request, test_seed_file=_secret(tmp_path)).written == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("only fifteen ch", "expected a file with a secret of at least 16 characters, got '{file} with 15'"),
        ("   \n", "expected a file with a secret of at least 16 characters, got '{file} with 0'"),
    ],
)
def test_a_short_secret_is_refused_and_not_printed(data: Path, tmp_path: Path, text: str, says: str) -> None:
    file = _secret(tmp_path, text)
    with pytest.raises(RequestError) as error:
        run(data=data, methods=["hold"], tasks=["cp"], out=tmp_path / "r", test_seed_file=file)
    assert str(error.value) == f"--test-seed-file: {says.format(file=file)}"
    assert not (tmp_path / "r").exists()


def test_a_secret_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path / "nothing", tmp_path):
        with pytest.raises(RequestError, match="--test-seed-file: expected a file, which workers read again"):
            Secret.read(place)
    (tmp_path / "bytes").write_bytes(b"\xff" * 32)
    with pytest.raises(RequestError, match="expected a file of UTF-8 text"):
        Secret.read(tmp_path / "bytes")


def test_workers_elsewhere_and_other_datasets_are_refused(data: Path, toys: Path, tmp_path: Path) -> None:
    request = {"data": data, "methods": ["mean"], "tasks": ["pe"], "out": tmp_path / "r"}
    with pytest.raises(RequestError, match="--scheduler: expected workers of this machine with --test-seed-file"):
        run(**request, scheduler="tcp://127.0.0.1:1", test_seed_file=_secret(tmp_path))
    with pytest.raises(RequestError, match="--test-seed-file: expected a suite that needs no other dataset, got 'move"):
        run("toy_methods:moves", **request, test_seed_file=_secret(tmp_path))
    assert not (tmp_path / "r").exists()


def test_sources_that_draw_nothing_anew_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, secret = open_dataset(data), Secret.read(_secret(tmp_path))

    def refusal() -> str:
        with pytest.raises(RequestError) as error, drawn(secret, public):
            pass
        assert not _folders()
        assert not _leaks(str(error.value).encode())
        return str(error.value)

    begins = "--test-seed-file: expected a dataset whose source draws another test split, got 'one of source stochastic"
    with monkeypatch.context() as patch:
        patch.setattr(FewRaysSource, "maker", "channelbench import PATH")
        assert refusal().startswith(f"{begins} (`channelbench import PATH` made it of a file")
    sample = FewRays.sample
    with monkeypatch.context() as patch:
        patch.setattr(FewRays, "sample", lambda self, spec, block, seed: sample(self, spec, block, public.seed))
        assert refusal() == f"{begins} (it draws the same one whatever the seed)'"

    def complains(self, spec, block, seed):
        raise OverflowError(f"seed {seed} = {seed:#x} is too large")

    with monkeypatch.context() as patch:
        patch.setattr(FewRays, "sample", complains)
        assert refusal() == f"{begins} (OverflowError: seed … = 0x… is too large)'"


def test_an_interruption_leaves_no_split_and_a_killed_runs_is_swept(
    data: Path, tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupts(Reporter):
        def began(self, plan: RunPlan) -> None:
            assert len(_folders()) == 1
            raise KeyboardInterrupt

    file = _secret(tmp_path)
    request = {"data": data, "methods": ["hold"], "tasks": ["cp"], "out": tmp_path / "r", "test_seed_file": file}
    with pytest.raises(KeyboardInterrupt):
        run(**request, reporter=Interrupts())
    assert not _folders()

    killed, young = (private / f"{hidden.PREFIX}{name}" for name in ("killed", "young"))
    for folder in (killed, young):
        folder.mkdir()
        (folder / "h_sub6.npy").touch()
    os.utime(killed, (time.time() - 2 * hidden.YOUNG_S,) * 2)
    with drawn(Secret.read(file), open_dataset(data)) as test:
        assert set(_folders()) == {young, test.folder}
        os.utime(test.folder, (time.time() - 2 * hidden.YOUNG_S,) * 2)
        with drawn(Secret.read(file), open_dataset(data)):  # another run leaves the first one's alone
            assert test.folder.is_dir()
    (young / "h_sub6.npy").unlink()
    young.rmdir()


def test_the_streams_of_3gpp_channels_take_a_seed_of_128_bits() -> None:
    block = Block(split="test", index=0)
    one, other = (Streams.of(block, seed, 2).rays.generate_state(4) for seed in (SEED, SEED ^ 1 << 127))
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_every_generator_takes_a_seed_of_128_bits() -> None:
    """``SeedSequence`` does, and all of ours seed nothing else; of the two bands of 3GPP channels here."""
    spec = make_spec("uma", sizes=SizesSpec(train=1, val=1, test=2), assignments={"sub6.num_subcarriers": 4})
    generator = registry.create("generators", "uma")
    block = Block(split="test", index=0, start=0, stop=2)
    one, other = (generator.sample(spec, block, seed)["h_sub6"].values for seed in (SEED, SEED ^ 1 << 127))
    assert np.isfinite(one).all()
    assert not np.array_equal(one, other)
