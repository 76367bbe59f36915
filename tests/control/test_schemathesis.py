"""schemathesis over the OpenAPI document, against the real server: no 5xx, and nothing that the document does not tell.

Short and always the same; `SCHEMATHESIS_EXAMPLES=500` looks further.
"""

import os
import socket

import pytest
import requests
import schemathesis
from control.thread_desk import serving_in_a_thread
from hypothesis import HealthCheck, given, settings
from requests.adapters import HTTPAdapter
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from agent.control.bounds import Bounds
from agent.control.openapi import openapi

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
SCHEMA = schemathesis.openapi.from_dict(openapi())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
WRONG = [label for label, made in OPERATIONS.items() if made.body or made.query]
"""Those that can be asked wrongly: any text is a name."""
RUNS = [(label, GenerationMode.POSITIVE) for label in OPERATIONS] + [
    (label, GenerationMode.NEGATIVE) for label in WRONG
]
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))


class UnixAdapter(HTTPAdapter):
    """requests over a unix socket."""

    def __init__(self, path):
        super().__init__()
        self._pool = UnixPool(path)

    def get_connection_with_tls_context(self, *_, **__):
        return self._pool

    def close(self):
        self._pool.close()
        super().close()


class UnixPool(HTTPConnectionPool):
    def __init__(self, path):
        super().__init__("localhost")
        self._path = path

    def _new_conn(self):
        return UnixConnection(self._path)


class UnixConnection(HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self._path = path

    def _new_conn(self):
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(self._path))
        return made


@pytest.fixture
def session(tmp_path):
    bounds = Bounds(rate_per_s=10**6, burst=10**6)
    with serving_in_a_thread(tmp_path, bounds=bounds) as desk, requests.Session() as made:
        desk.call(desk.agent.broadcast.end)  # a stream of events ends at once
        desk.agent.plan_table["0"] = {
            "name": "0",
            "camera": "top",
            "state": "running",
            "client": "x",
            "period_ns": 1,
            "priority": 0,
            "account": {},
        }
        made.mount("http://", UnixAdapter(desk.path))
        yield made


@pytest.mark.parametrize(("label", "mode"), RUNS)
def test_answers_are_as_the_document_tells(session, label, mode):
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def look(case):
        response = case.call(base_url="http://localhost", session=session)
        case.validate_response(response, checks=CHECKS)

    look()
