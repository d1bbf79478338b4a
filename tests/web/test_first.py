from tests.web.pipes import decide
from tests.web.serving import Api, who


async def test_a_job_is_submitted_and_shown(api: Api):
    client = await api.client()
    answer = await client.post("/v1/jobs", json={"pipeline": "decide", "payload": {"title": "a"}})
    assert answer.status_code == 202, answer.text
    shown = await client.get(answer.headers["Location"])
    assert shown.json()["state"] == "queued"
    other = await api.client(who("globex"))
    assert (await other.get(answer.headers["Location"])).status_code == 404
    assert decide.name == shown.json()["pipeline"]
    assert (await (await api.stranger()).get("/v1/jobs/x")).status_code == 401
