"""Short ways to submit and to ask, as the usual user."""

import httpx2

from tests.web.serving import Api


async def submit(api: Api, pipeline: str = "double", payload: object = 1, **more: object) -> str:
    client = await api.client()
    body = {"pipeline": pipeline, "payload": payload, **more}
    answer = await client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def get(api: Api, path: str, **query: object) -> httpx2.Response:
    return await (await api.client()).get(path, params=query or None)
