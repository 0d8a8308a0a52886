"""Many requests at the service, some broken or hostile: ``load_service.py PORT PROCESS photo.jpg``.

Eight clients, each with a connection that it keeps; every 25th request is one of the hostile kinds.
Prints answers by status, latency of the good ones, and the memory of the process along the way.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import itertools
import re
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np

EVERY = 25
UNFINISHED = b"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nabc"
SIDES = (160, 240, 320, 400, 480)


def hostile(photo: bytes) -> list[bytes]:
    """Bodies that are no image, or too much of one."""
    white = np.full((12_000, 12_000), 255, np.uint8)
    return [
        b"",
        b"nothing",
        photo[: len(photo) // 3],
        b"\xff\xd8" + bytes(5000),
        cv2.imencode(".png", white)[1].tobytes(),  # 0.4 GB decoded
        bytes(21_000_000),
    ]


def memory(process: int) -> int:
    """Resident memory, MB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("process", type=int, help="of the service")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    image = cv2.imread(str(given.photo))
    good = []
    for side in SIDES:
        height = round(side * image.shape[0] / image.shape[1])
        good.append(cv2.imencode(".jpg", cv2.resize(image, (side, height)))[1].tobytes())
    bad = hostile(good[0])
    numbers = itertools.count()
    answers: collections.Counter[str] = collections.Counter()
    seconds: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", given.port, timeout=60)
        while (number := next(numbers)) < given.requests:
            if number % (given.requests // 10) == 0:
                print(f"{number:6} requests  {memory(given.process)} MB", flush=True)
            is_bad = number % EVERY == EVERY - 1
            turn = number // EVERY % (len(bad) + 1)
            if is_bad and turn == len(bad):  # begins and goes away
                with socket.create_connection(("127.0.0.1", given.port)) as gone:
                    gone.sendall(
                        b"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nabc"
                    )
                answers["gone"] += 1
                continue
            begun = time.perf_counter()
            try:
                body = bad[turn] if is_bad else good[number % len(good)]
                connection.request("POST", "/detect", body)
                answer = connection.getresponse()
                answer.read()
                answers[f"{'hostile' if is_bad else 'good'} {answer.status}"] += 1
            except (OSError, http.client.HTTPException) as error:  # answered before it was read
                answers[f"{'hostile' if is_bad else 'good'} {type(error).__name__}"] += 1
                connection.close()
            if not is_bad:
                seconds.append(time.perf_counter() - begun)

    clients = [threading.Thread(target=client) for _ in range(given.clients)]
    begun = time.perf_counter()
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    took = time.perf_counter() - begun
    print(f"{given.requests:6} requests  {memory(given.process)} MB, {given.requests / took:.1f}/s")
    print(dict(sorted(answers.items())))
    for percent in (50, 90, 99, 100):
        print(f"latency {percent:3} %  {1000 * np.percentile(seconds, percent):.0f} ms")


if __name__ == "__main__":
    main()
