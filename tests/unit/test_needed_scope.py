"""Every route needs the scope that its act calls for, and what is public is listed."""

import pytest

from api.needed_scope import needed_scope


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/health", None),
        ("GET", "/health/ready", None),
        ("GET", "/docs/assets/swagger-ui.css", None),
        ("GET", "/ui/style.css", None),
        ("POST", "/ui/login", None),
        ("OPTIONS", "/tasks", None),
        ("GET", "/ui", "read"),
        ("GET", "/ui/tasks", "read"),
        ("GET", "/ui/tasks/app.js/x", "read"),
        ("GET", "/tasks", "read"),
        ("HEAD", "/events/export", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/anything/else", "read"),
        ("POST", "/tasks", "submit"),
        ("POST", "/tasks/batch", "submit"),
        ("POST", "/tasks/1/cancel", "operate"),
        ("POST", "/tasks/retry", "operate"),
        ("POST", "/tasks/cancel", "operate"),
        ("POST", "/workers/1/drain", "operate"),
        ("GET", "/relay", "read"),
        ("GET", "/bulk-acts", "read"),
        ("PUT", "/queues/mail", "operate"),
        ("DELETE", "/schedules/nightly", "operate"),
        ("POST", "/projections/task_status/rebuild", "operate"),
        ("POST", "/anything/else", "operate"),
        ("POST", "/projections/task_status/reset", "admin"),
        ("POST", "/tasks/1/erase", "admin"),
        ("POST", "/erasures", "admin"),
        ("PUT", "/webhooks/crm", "admin"),
        ("POST", "/webhooks/crm/rotate", "admin"),
        ("POST", "/webhooks/crm/pause", "operate"),
    ],
)
def test_a_request_needs_the_scope_of_its_act(method: str, path: str, needed: str | None) -> None:
    assert needed_scope(method, path) == needed
