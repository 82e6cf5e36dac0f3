"""sidelight over HTTP: a service on this machine, and a client that knows nothing of Python objects."""

import threading

import httpx
from tiny import text_explainer

from sidelight.serving import app
from sidelight.serving.running import server_of

service = app({"films": text_explainer()})
server, listening, address = server_of(service, "127.0.0.1", 0)  # any free port of this machine
thread = threading.Thread(target=server.run, args=([listening],))
thread.start()
print("serving", address)

with httpx.Client(base_url=address.removesuffix("/docs"), timeout=60) as client:
    answer = client.post("/explain", json={"text": "the story was very charming"}).json()
    best, word = max(zip(answer["scores"]["text"], answer["inputs"]["text"], strict=True))
    print("because of", word.strip(), f"{answer['label']} {answer['probability']:.1%}")
    wrong = client.post("/explain", json={"text": "the story", "target": "brilliant"})
    print(wrong.status_code, wrong.json()["error"]["kind"])

server.should_exit = True  # answers what is queued first
thread.join()
