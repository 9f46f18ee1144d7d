"""What the service answers: images in four formats, and sentences for what it refuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from hvrt_diffuser import HVRTDiffuser
from hvrt_diffuser.serve.counters import Counters
from hvrt_diffuser.serve.generation import Answer
from hvrt_diffuser.serve.guard import MAX_BODY, Guard

Service = Callable[..., TestClient]
URL = "/v1/generate"
TOKEN = "a-token-of-the-tests-é"
Found = tuple[Tensor, list[int], dict[str, Any]]


def pixels(png: bytes) -> Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(png))))[None]


def digest(pngs: list[bytes]) -> str:
    return hashlib.sha256(b"".join(pngs)).hexdigest()


def read_tar(body: bytes) -> Found:
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    assert list(files)[-1] == "__manifest__"
    pngs = [data for name, data in files.items() if name.endswith(".png")]
    labels = [int(data) for name, data in files.items() if name.endswith(".cls")]
    manifest = json.loads(files["__manifest__"])
    assert manifest["sha256"] == digest(pngs)
    return torch.stack([pixels(png) for png in pngs]), labels, manifest


def read_zip(body: bytes) -> Found:
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        assert file.testzip() is None
        *names, last = file.namelist()
        pngs, manifest = [file.read(name) for name in names], json.loads(file.read(last))
    assert manifest["sha256"] == digest(pngs)
    labels = [int(Path(name).parts[0]) for name in names]
    return torch.stack([pixels(png) for png in pngs]), labels, manifest


def read_parquet(body: bytes) -> Found:
    file = pq.ParquetFile(io.BytesIO(body))
    table, metadata = file.read(), file.metadata.metadata
    pngs = [row["bytes"] for row in table.column("image").to_pylist()]
    manifest = json.loads(metadata[b"manifest"])
    assert manifest["sha256"] == digest(pngs)
    known = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    assert known == manifest["class_names"]
    return torch.stack([pixels(png) for png in pngs]), table["label"].to_pylist(), manifest


def read_npz(body: bytes) -> Found:
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = dict(file)
    manifest = {
        "images": len(arrays["images"]),
        "seed": int(arrays["seed"]),
        "class_names": arrays["class_names"].tolist(),
        "notice": str(arrays["notice"]),
    }
    return torch.from_numpy(arrays["images"]), arrays["labels"].tolist(), manifest


READERS = {"tar": read_tar, "zip": read_zip, "parquet": read_parquet, "npz": read_npz}


@pytest.mark.parametrize("form", READERS)
def test_every_format_holds_what_the_model_draws(
    service: Service, diffuser: HVRTDiffuser, form: str
) -> None:
    n = 1030  # more than is drawn at once
    answer = service().post(URL, json={"n": n, "seed": 3, "format": form})
    assert answer.status_code == 200
    images, labels, manifest = READERS[form](answer.content)
    expected = list(diffuser.stream(n, seed=3))
    assert torch.equal(images, torch.cat([batch for batch, _ in expected]))
    assert labels == torch.cat([drawn for _, drawn in expected]).tolist()
    assert manifest["images"] == n
    assert manifest["seed"] == 3
    assert manifest["class_names"] == [str(c) for c in range(10)]
    assert "near copies" in manifest["notice"]


@pytest.mark.parametrize("form", READERS)
def test_same_seed_same_bytes(service: Service, form: str) -> None:
    wanted = {"n": 20, "seed": 1, "format": form}
    first, second = (service().post(URL, json=wanted) for _ in range(2))
    assert first.content == second.content
    assert first.content != service().post(URL, json={**wanted, "seed": 2}).content


def test_a_tar_is_a_shard_that_datasets_opens(service: Service, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "a.tar").write_bytes(service().post(URL, json={"n": 5, "seed": 0}).content)
    rows = list(
        datasets.load_dataset(
            "webdataset",
            data_files=str(tmp_path / "a.tar"),
            split="train",
            streaming=True,
            cache_dir=str(tmp_path),
        )
    )
    assert len(rows) == 5
    assert rows[0]["png"].size == (28, 28)


def test_the_seed_that_was_taken_is_told_and_gives_the_same_again(service: Service) -> None:
    client = service()
    one, other = (client.post(URL, json={"n": 3}) for _ in range(2))
    assert one.headers["x-seed"] != other.headers["x-seed"]
    again = client.post(URL, json={"n": 3, "seed": int(one.headers["x-seed"])})
    assert again.content == one.content


class Named(HVRTDiffuser):
    """Classes with names, some of which are numbers of others, paths or markup."""

    class_names = ("1", "10", "11", "2", "cat", "<b>", "../x", "ü", "$1", "9")


@pytest.fixture
def named(diffuser: HVRTDiffuser) -> HVRTDiffuser:
    return Named(diffuser.autoencoder, diffuser.sampler)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"n": 2, "class_id": 4}, [4, 4]),
        ({"n": 2, "class_id": "cat"}, [4, 4]),
        ({"n": 1, "class_id": "10"}, [1]),  # the name, not the number
        ({"n": 1, "class_id": "ü"}, [7]),
        ({"labels": ["2", 2, "../x"]}, [3, 2, 6]),
        ({"n": 1, "labels": [9]}, [9]),
    ],
)
def test_classes_by_name_and_by_number(
    service: Service, named: HVRTDiffuser, asked: dict[str, Any], expected: list[int]
) -> None:
    answer = service(named).post(URL, json=asked)
    assert read_tar(answer.content)[1] == expected


def test_a_name_is_no_path(service: Service, named: HVRTDiffuser) -> None:
    answer = service(named).post(URL, json={"n": 3, "class_id": "../x", "format": "zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert all(re.fullmatch(r"\d/\d{8}\.png|manifest\.json", n) for n in file.namelist())


def test_without_names_a_number_names_its_class(service: Service) -> None:
    assert read_tar(service().post(URL, json={"n": 1, "class_id": "3"}).content)[1] == [3]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ('{"n": 5', 400, "JSON"),
        ("[1]", 422, "body"),
        ("{}", 422, "n"),
        ('{"n": 0}', 422, "n"),
        ('{"n": "5"}', 422, "n"),
        ('{"n": true}', 422, "n"),
        ('{"n": 5.5}', 422, "n"),
        ('{"n": 1001}', 422, "at most 1000"),
        ('{"n": 2, "labels": [1]}', 422, "leave n out"),
        ('{"labels": []}', 422, "labels"),
        ('{"labels": [1], "class_id": 1}', 422, "drop one"),
        ('{"n": 1, "class_id": 10}', 422, "0 to 9"),
        ('{"n": 1, "class_id": -1}', 422, "0 to 9"),
        ('{"n": 1, "class_id": "ten"}', 422, "ten"),
        ('{"n": 1, "seed": -1}', 422, "seed"),
        ('{"n": 1, "format": "exe"}', 422, "format"),
        ('{"n": 1, "file": "/etc/passwd"}', 422, "file"),
    ],
)
def test_what_is_refused(service: Service, body: str, status: int, word: str) -> None:
    json_type = {"Content-Type": "application/json"}
    answer = service(max_images=1000).post(URL, content=body, headers=json_type)
    assert answer.status_code == status
    assert word in answer.json()["detail"]


def test_an_npz_has_a_limit_of_its_own(service: Service) -> None:
    answer = service().post(URL, json={"n": 10_001, "format": "npz"})
    assert answer.status_code == 422
    assert "10000 as npz" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/nothing", "/docs", "/../../etc/passwd", "/static/x"])
def test_nothing_else_is_served(service: Service, path: str) -> None:
    assert service().get(path).status_code == 404
    assert service().get(URL).status_code == 405


class TestBodies:
    def test_too_large_a_body(self, service: Service) -> None:
        labels = [0] * MAX_BODY  # three bytes each
        assert service().post(URL, json={"labels": labels}).status_code == 413

    def test_too_large_a_body_that_does_not_say_so(self) -> None:
        sent: list[Any] = []

        async def receive() -> Any:  # read to its end, it would have none
            return {"type": "http.request", "body": b" " * 10_000, "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        async def never(*_: Any) -> None:
            pytest.fail("the application was asked")

        scope = {"type": "http", "path": URL, "headers": []}
        anyio.run(Guard(never, None, Counters()), scope, receive, send)
        assert sent[0]["status"] == 413
        assert (b"connection", b"close") in sent[0]["headers"]

    def test_as_many_labels_as_the_limit_of_images(self, service: Service) -> None:
        body = json.dumps({"labels": [0] * 100_001}, separators=(",", ":"))
        json_type = {"Content-Type": "application/json"}
        assert len(body) < MAX_BODY
        answer = service().post(URL, content=body, headers=json_type)
        assert answer.status_code == 422  # one too many images, and not too many bytes


class TestToken:
    @pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/openapi.json", "/nothing"])
    @pytest.mark.parametrize("given", [None, "Bearer x", TOKEN.encode(), b"Bearer \xff"])
    def test_without_the_token_nothing(self, service: Service, path: str, given: Any) -> None:
        headers = {} if given is None else {"Authorization": given}
        answer = service(token=TOKEN).get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text

    def test_a_body_is_not_read_without_it(self, service: Service) -> None:
        answer = service(token=TOKEN).post(URL, content=b" " * (MAX_BODY + 1))
        assert answer.status_code == 401

    def test_with_it(self, service: Service) -> None:
        client = service(token=TOKEN)
        headers = {"Authorization": f"Bearer {TOKEN}".encode()}
        assert client.post(URL, json={"n": 1}, headers=headers).status_code == 200

    @pytest.mark.parametrize("path", ["/", "/health", "/ready", "/source"])
    def test_what_says_nothing_of_the_model_needs_none(self, service: Service, path: str) -> None:
        assert service(token=TOKEN).get(path).status_code == 200

    def test_without_a_token_a_page_of_another_name_gets_nothing(self, service: Service) -> None:
        assert service().get("/v1/model", headers={"Host": "evil.example"}).status_code == 400
        assert service().get("/v1/model", headers={"Host": "localhost:8000"}).status_code == 200


def test_the_model_is_described(service: Service, named: HVRTDiffuser) -> None:
    found = service(named, max_images=500).get("/v1/model").json()
    assert found["image"] == {"channels": 1, "height": 28, "width": 28}
    assert found["classes"][4] == {"class_id": 4, "name": "cat", "training_images": 500}
    assert found["limits"] == {"images": 500, "npz_images": 500, "jobs": 2, "seconds": 300}
    assert "near copies" in found["notice"]


def test_the_source_is_offered(service: Service) -> None:
    with tarfile.open(fileobj=io.BytesIO(service().get("/source").content)) as tar:
        names = tar.getnames()
    assert "hvrt-diffuser/hvrt_diffuser/serve/app.py" in names
    assert "hvrt-diffuser/hvrt_diffuser/serve/templates/page.html" in names
    assert "hvrt-diffuser/README" in names
    assert all(name.startswith("hvrt-diffuser/") for name in names)


class Held:
    """A model that draws its second batch when it may."""

    def __init__(self, model: HVRTDiffuser) -> None:
        self._model, self.may_go, self.drawn = model, threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def stream(self, n: int, labels: Tensor | None, *, seed: int) -> Iterator[Any]:
        for batch in self._model.stream(n, labels, seed=seed):
            self.drawn.set()
            assert self.may_go.wait(60)
            yield batch


def test_one_job_too_many_is_told_to_come_again(service: Service, diffuser: HVRTDiffuser) -> None:
    held: Any = Held(diffuser)
    with service(held, jobs=1) as client:
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.append(client.post(URL, json={"n": 5, "seed": 0}))
        )
        thread.start()
        try:
            assert held.drawn.wait(60)
            busy = client.post(URL, json={"n": 5})
            assert busy.status_code == 503
            assert int(busy.headers["retry-after"]) >= 1
            assert client.get("/ready").status_code == 503
            assert client.get("/health").status_code == 200
            assert "hvrt_diffuser_running 1" in client.get("/metrics").text
        finally:
            held.may_go.set()
            thread.join(60)
        assert read_tar(answers[0].content)[2]["images"] == 5
        assert client.get("/ready").status_code == 200
        metrics = client.get("/metrics").text
        assert 'requests_total{path="/v1/generate",status="503"} 1' in metrics
        assert "hvrt_diffuser_running 0" in metrics
        assert "hvrt_diffuser_images_total 5" in metrics
        assert "hvrt_diffuser_unfinished_total 0" in metrics


def test_a_draw_that_fails_frees_its_job(service: Service, diffuser: HVRTDiffuser) -> None:
    class Broken(Held):
        def stream(self, n: int, labels: Tensor | None, *, seed: int) -> Iterator[Any]:
            raise RuntimeError("out of memory")
            yield

    broken: Any = Broken(diffuser)
    client = service(broken, jobs=1)
    for _ in range(2):  # the second is not told that the first still runs
        with pytest.raises(RuntimeError, match="out of memory"):
            client.post(URL, json={"n": 5})
    assert 'requests_total{path="/v1/generate",status="500"} 2' in client.get("/metrics").text


@pytest.mark.parametrize("why", ["the client leaves", "time runs out"])
def test_an_answer_that_ends_early_stops_the_drawing(why: str) -> None:
    taken, ended, sent = [0], [], []

    def parts() -> Iterator[bytes]:
        while taken[0] < 10_000:  # far more than are sent
            taken[0] += 1
            yield b"x"

    async def receive() -> Any:
        while why == "time runs out" or len(sent) < 5:
            await anyio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        await anyio.sleep(0.01)

    answer = Answer(
        parts(), b"x", seconds=0.1, ended=ended.append, media_type="text/plain", headers={}
    )
    anyio.run(answer, {"type": "http"}, receive, send)
    assert ended == [False]
    assert taken[0] < 10_000
    assert sent[-1]["more_body"]  # no end that a client could take for one


class TestPage:
    def test_needs_nothing_from_elsewhere(self, service: Service) -> None:
        answer = service().get("/")
        assert set(re.findall(r'(?:src|href)="([^"]*)"', answer.text)) == {"source"}
        assert not re.search(r"https?:|//[a-z]|url\(|@import|\bimport\b", answer.text)

    def test_names_never_become_markup(self, service: Service) -> None:
        text = service().get("/").text
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)

    def test_the_browser_runs_this_script_alone(self, service: Service) -> None:
        answer = service().get("/")
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.count("sha256-") == 2  # one script, one style
        assert not re.search(r"\s(on\w+|style)=", answer.text)  # which the policy would refuse
        assert 'name="viewport" content="width=device-width' in answer.text
