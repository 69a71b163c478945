"""The HTTP service with a fake extractor, over real connections: what it answers, what it refuses, how it waits and ends."""

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest

SMALL = ("max-body=20000", "max-texts=3", "max-chars=1000", "max-queue=4", "batch=2", "timeout=1.5", "upload=1.0")


@pytest.fixture(scope="module")
def service(launch):
    """Small limits: 20,000 bytes, 3 texts of 1,000 characters, 4 in the queue, 1.5 seconds; two systems."""
    return launch(*SMALL, "one", "two")


def test_one_text_is_answered_with_offsets_in_code_points(service):
    text = "𠮷野在臺灣大學。"
    answer = service.extract(text)
    made = answer.json()
    assert answer.status_code == 200
    assert (made["system"], made["task"], made["status"]) == ("one", "ner", "repaired")
    assert made["problems"] == ["one value is not in the text"]
    assert [(v["text"], v["span"]) for v in made["values"]] == [
        ("臺灣大學", [3, 7]),
        ("臺灣", [3, 5]),
        ("<b>沒有</b>", None),
    ]
    assert all(text[v["span"][0] : v["span"][1]] == v["text"] for v in made["values"] if v["span"])
    assert made["record"]["entities"][0] == {"text": "臺灣大學", "type": "地方", "spans": [[3, 7]]}


def test_a_batch_is_answered_in_order(service):
    texts = ["甲", "臺灣", "乙"]
    answer = service.client.post("/v1/extract/batch", json={"texts": texts, "task": "ner", "system": "two"})
    assert [made["record"]["text"] for made in answer.json()["results"]] == texts
    assert {made["system"] for made in answer.json()["results"]} == {"two"}


def test_keys_reach_the_extractor(service):
    assert service.extract("甲", "json", keys=["編號"]).json()["values"][0]["label"] == "編號"


def test_what_is_served_is_listed(service):
    about = service.client.get("/v1/tasks").json()
    assert about["systems"] == ["one", "two"]
    tasks = {task["name"]: (task["part"], task["needs_keys"]) for task in about["tasks"]}
    assert (tasks["json"], tasks["kge"], tasks["ner"]) == (("fields", True), ("triples", False), ("entities", False))
    assert about["limits"] == {"body": 20000, "texts": 3, "chars": 1000, "seconds": 1.5}


def test_health_and_readiness(service, launch):
    assert service.client.get("/health").json() == {"status": "ok", "waiting": 0}
    late = launch("late", ready=False)
    assert late.client.get("/health").status_code == 200
    refused = late.client.get("/ready")
    assert (refused.status_code, refused.json()["error"]) == (503, "the model still loads")
    assert late.extract("甲").headers["retry-after"] == "5"
    late.wait_until(lambda: late.client.get("/ready").status_code == 200)
    assert late.extract("甲").status_code == 200


def test_openapi_documents_every_route_with_examples(service):
    documented = service.client.get("/openapi.json").json()
    assert set(documented["paths"]) == {"/v1/extract", "/v1/extract/batch", "/v1/tasks", "/health", "/ready"}
    schemas = documented["components"]["schemas"]
    for name, key in (("Request", "text"), ("BatchRequest", "texts"), ("Task", "name"), ("Problem", "error")):
        assert schemas[name]["properties"][key]["examples"], name
    assert set(schemas["Reply"]["examples"][0]) == set(schemas["Reply"]["properties"])
    assert set(schemas["Reply"]["examples"][0]["values"][0]) == set(schemas["Value"]["properties"])
    answers = documented["paths"]["/v1/extract"]["post"]["responses"]
    bodies = {code: answer["content"]["application/json"]["schema"]["$ref"] for code, answer in answers.items()}
    assert bodies.pop("200").endswith("/Reply")
    assert set(bodies) == {"400", "401", "408", "413", "422", "500", "503", "504"}
    assert {body.rsplit("/", 1)[1] for body in bodies.values()} == {"Problem"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"text": "\xe7\x94\xb2", "task": "ner"', 422, "the body is not JSON"),
        (b"", 422, "the body is no JSON object"),
        (b"[1]", 422, "the body is no JSON object"),
        (b'{"text": "\xff"}', 400, "the body cannot be read"),
        (b"[" * 9000 + b"]" * 9000, 400, "the body cannot be read"),
        (b'{"task": "ner"}', 422, "text: Field required"),
        (b'{"text": 7, "task": "ner"}', 422, "text: Input should be a valid string"),
        (b'{"text": "\\ud800", "task": "ner"}', 422, "text: "),
        (b'{"text": "a", "task": "ner", "\\ud800": 1}', 422, "the body is no JSON object"),
        (b'{"text": "a", "task": "ner", "model": "x"}', 422, "model: Extra inputs are not permitted"),
        (b'{"text": "", "task": "ner"}', 422, "text: String should have at least 1 character"),
        (b'{"text": " \\n", "task": "ner"}', 422, "text: empty (expected a text of 1 to 1,000 characters)"),
        (b'{"text": "a", "task": "none"}', 422, "task: found 'none' (expected one of"),
        (b'{"text": "a", "task": "ner", "system": "three"}', 422, "system: found 'three' (expected one of one, two)"),
        (b'{"text": "a", "task": "json"}', 422, "keys: found none (expected the fields wanted, each once, for task 'json')"),
        (b'{"text": "a", "task": "ner", "keys": ["a"]}', 422, "keys: found a (expected none: task 'ner' asks for no fields)"),
        (b'{"text": "a", "task": "json", "keys": ["a", "a"]}', 422, "keys: found a, a (expected the fields"),
        (b'{"text": "' + b"a" * 1001 + b'", "task": "ner"}', 422, "text: 1,001 characters (expected at most 1,000)"),
    ],
)  # fmt: skip
def test_a_malformed_request_gets_one_clear_message(service, body, status, said):
    answer = service.client.post("/v1/extract", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and said in answer.json()["error"]


def test_json_under_another_type_is_refused_with_a_hint(service):
    answer = service.client.post("/v1/extract", content=b"text=a", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "the body is no JSON object (expected one, and Content-Type: application/json)",
    )


def test_a_batch_with_a_bad_text_names_it(service):
    post = service.client.post
    answer = post("/v1/extract/batch", json={"texts": ["a", " "], "task": "ner"})
    assert (answer.status_code, answer.json()["error"][:15]) == (422, "texts[1]: empty")
    answer = post("/v1/extract/batch", json={"texts": ["a"] * 4, "task": "ner"})
    assert (answer.status_code, answer.json()["error"]) == (422, "texts: 4 (expected at most 3)")


def test_a_text_that_cannot_be_asked_about_is_an_error_alone_and_a_result_among_others(service):
    alone = service.extract("foreign words")
    assert (alone.status_code, alone.json()) == (422, {"error": "text: another language"})
    texts = ["甲", "foreign words"]
    among = service.client.post("/v1/extract/batch", json={"texts": texts, "task": "ner"}).json()["results"]
    assert [(made["status"], made["problems"]) for made in among][1] == ("failed", ["another language"])


def test_triples_come_with_their_ends(service):
    made = service.extract("甲住在臺灣", "kge").json()
    assert made["triples"][0]["head"] == {"label": "", "text": "甲", "span": None, "fragments": [], "answer": ""}
    assert made["record"]["triples"][2] == {"head": "甲", "relation": "住在", "tail": "臺灣"}


def test_unknown_paths_and_methods_say_so(service):
    assert service.client.get("/nothing").json() == {"error": "Not Found"}
    assert service.client.get("/v1/extract").status_code == 405


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_body_is_refused_and_not_kept(service, chunked):
    data = b'{"text": "' + b"a" * 3_000_000 + b'"}'
    content = (data[n : n + 65536] for n in range(0, len(data), 65536)) if chunked else data
    answer = service.client.post("/v1/extract", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "the body is too large (expected at most 20,000 bytes)",
    )


def test_a_body_that_does_not_arrive_in_time_is_refused(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(b'POST /v1/extract HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"text": "a')
        said = connection.makefile("rb").read()
        assert said.startswith(b"HTTP/1.1 408 ") and b"did not arrive within 1 s" in said


def test_bytes_that_are_no_http_are_refused(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_an_error_of_one_text_leaves_the_others_alone(service):
    def post(text, answers):
        with httpx.Client(base_url=service.address, trust_env=False, timeout=30) as client:
            answers[text] = client.post("/v1/extract", json={"text": text, "task": "ner"})

    answers = {}
    threads = [threading.Thread(target=post, args=(text, answers)) for text in ("sleep 0.3", "fail", "crash", "甲")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {text: answer.status_code for text, answer in answers.items()} == {
        "sleep 0.3": 200, "fail": 422, "crash": 500, "甲": 200,
    }  # fmt: skip
    assert answers["fail"].json() == {"error": "the text is not to the model's taste"}
    assert answers["crash"].json() == {"error": "the extraction failed (ZeroDivisionError)"}


def test_requests_of_a_kind_are_answered_together_and_others_apart(launch):
    service = launch("batch=8", "one", "two")

    async def run():
        async with httpx.AsyncClient(base_url=service.address, trust_env=False, timeout=30) as client:
            first = asyncio.create_task(client.post("/v1/extract", json={"text": "sleep 0.5", "task": "ner"}))
            await asyncio.to_thread(service.wait_until, service.seen)
            rest = [
                client.post("/v1/extract", json={"text": f"t{n}", "task": task, "system": system})
                for n, (task, system) in enumerate([("ner", "one"), ("kge", "one"), ("ner", "one"), ("ner", "two")])
            ]
            return [answer.status_code for answer in await asyncio.gather(first, *rest)]

    assert asyncio.run(run()) == [200] * 5
    assert sorted(service.seen()[1:]) == ["1 t1", "1 t3", "2 t0", "2 t2"]


def test_an_answer_that_takes_too_long_is_504_and_leaves_the_queue(service):
    before = len(service.seen())
    began = time.monotonic()

    async def run():
        async with httpx.AsyncClient(base_url=service.address, trust_env=False, timeout=30) as client:
            slow = asyncio.create_task(client.post("/v1/extract", json={"text": "sleep 3", "task": "ner"}))
            await asyncio.to_thread(service.wait_until, lambda: len(service.seen()) > before)
            behind = await client.post("/v1/extract", json={"text": "never", "task": "kge"})
            return await slow, behind

    slow, behind = asyncio.run(run())
    assert (slow.status_code, behind.status_code) == (504, 504)
    assert slow.json() == {"error": "no answer within 1.5 s"}
    assert time.monotonic() - began < 3
    assert service.client.get("/health").json()["waiting"] == 0
    assert service.extract("sleep 0").status_code in (200, 504)  # what runs is not interrupted
    service.wait_until(lambda: service.extract("after").status_code == 200)
    assert not any(line.endswith(" never") for line in service.seen())


def test_a_client_that_leaves_frees_its_place(launch):
    service = launch("max-queue=4", "max-texts=3", "batch=1")

    def post(text):
        connection = socket.create_connection(("127.0.0.1", service.port), timeout=10)
        body = json.dumps({"text": text, "task": "ner"}).encode()
        head = f"POST /v1/extract HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return connection

    def waiting():
        return service.client.get("/health").json()["waiting"]

    with post("sleep 1.5"):
        service.wait_until(service.seen)
        leaving = [post(f"left {n}") for n in range(4)]
        service.wait_until(lambda: waiting() == 4)
        refused = service.extract("no room")
        assert (refused.status_code, refused.headers["retry-after"].isdigit()) == (503, True)
        assert refused.json()["error"].startswith("the queue is full (try again in ")
        for connection in leaving:
            connection.close()
        service.wait_until(lambda: waiting() == 0)
        assert service.extract("room again").status_code == 200
    assert [line.split(" ", 1)[1] for line in service.seen()] == ["sleep 1.5", "room again"]
    assert service.end() == 0
    assert (service.seen_file.parent / "stderr").read_text() == ""


def test_a_batch_that_does_not_fit_is_refused_whole(launch):
    service = launch("max-queue=3", "max-texts=3", "batch=1")
    with httpx.Client(base_url=service.address, trust_env=False) as first:
        thread = threading.Thread(target=lambda: first.post("/v1/extract", json={"text": "sleep 1", "task": "ner"}))
        thread.start()
        service.wait_until(service.seen)
        other = threading.Thread(target=lambda: service.extract("one waits"))
        other.start()
        service.wait_until(lambda: httpx.get(f"{service.address}/health", trust_env=False).json()["waiting"] == 1)
        answer = httpx.post(
            f"{service.address}/v1/extract/batch", json={"texts": ["a", "b", "c"], "task": "ner"}, trust_env=False
        )
        assert answer.status_code == 503
        thread.join()
        other.join()
    assert [line.split(" ", 1)[1] for line in service.seen()] == ["sleep 1", "one waits"]


def test_the_key_is_asked_for_where_it_is_set(launch):
    service = launch(key="geheim+1")
    unknown = httpx.Client(base_url=service.address, trust_env=False)
    body = {"text": "a", "task": "ner"}
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic geheim"},
        {"Authorization": "Bearer"},
    ):
        refused = unknown.post("/v1/extract", json=body, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json()["error"].startswith("the API key is missing or wrong")
    assert unknown.get("/v1/tasks").status_code == 401
    assert [unknown.get(path).status_code for path in ("/health", "/ready", "/", "/openapi.json")] == [200] * 4
    known = {"Authorization": "bearer geheim+1"}
    assert unknown.post("/v1/extract", json=body, headers=known).status_code == 200
    assert "HTTPBearer" in unknown.get("/openapi.json").json()["components"]["securitySchemes"]


def test_a_key_that_no_header_can_carry_is_refused_at_start(launch):
    service = launch(key="鍵", ready=False)
    assert service.process.wait(30) == 2
    said = (service.seen_file.parent / "stderr").read_text()
    assert said.startswith("error: ETLCH_API_KEY: holds a character that no HTTP header can carry")


def test_sigterm_finishes_what_was_asked_and_exits_0(launch):
    service = launch("batch=1")
    answers = []

    def post(text):
        answers.append(httpx.post(f"{service.address}/v1/extract", json={"text": text, "task": "ner"}, trust_env=False))

    threads = [threading.Thread(target=post, args=(text,)) for text in ("sleep 1", "queued", "queued too")]
    threads[0].start()
    service.wait_until(service.seen)
    for thread in threads[1:]:
        thread.start()
    service.wait_until(lambda: service.client.get("/health").json()["waiting"] == 2)
    service.client.close()
    assert service.end() == 0
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.address}/health", trust_env=False)


def test_sigterm_does_not_wait_for_clients_that_say_nothing(launch):
    service = launch()
    with socket.create_connection(("127.0.0.1", service.port)) as idle:
        idle.sendall(b"POST /v1/extract HTTP/1.1\r\nHost")
        began = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - began < 5


def test_models_that_cannot_be_loaded_end_the_service_with_one_line(launch):
    service = launch("broken", ready=False)
    assert service.process.wait(30) == 2
    said = (service.seen_file.parent / "stderr").read_text()
    assert said == "error: models/broken: no weights there (expected model.safetensors)\n"
