"""The pages of the dashboard, in the order of the menu."""

from api.dashboard.site import Page
from api.dashboard.views.archives import archives, erasure
from api.dashboard.views.events import audit, events
from api.dashboard.views.failures import failure, failures
from api.dashboard.views.operations import dead_letters, queues, schedules, submit
from api.dashboard.views.overview import overview
from api.dashboard.views.past import past
from api.dashboard.views.projections import projections
from api.dashboard.views.roles import bulk_acts, relay, workers
from api.dashboard.views.tasks import task, tasks
from api.dashboard.views.webhooks import webhook, webhooks

PAGES = (
    Page("", "Overview", "overview.html", overview),
    Page("/tasks", "Tasks", "tasks.html", tasks),
    Page("/tasks/{task_id}", None, "task.html", task),
    Page("/events", "Event log", "events.html", events),
    Page("/past", "Time machine", "past.html", past),
    Page("/failures", "Failures", "failures.html", failures),
    Page("/failures/{failure_id}", None, "failure.html", failure),
    Page("/queues", "Queues", "queues.html", queues),
    Page("/workers", "Workers", "workers.html", workers),
    Page("/relay", "Relay and broker", "relay.html", relay),
    Page("/bulk-acts", "Bulk acts", "bulk_acts.html", bulk_acts),
    Page("/schedules", "Schedules", "schedules.html", schedules),
    Page("/webhooks", "Webhooks", "webhooks.html", webhooks, key="w"),
    Page("/webhooks/{name}", None, "webhook.html", webhook),
    Page("/dead-letters", "Dead letters", "dead_letters.html", dead_letters),
    Page("/projections", "Projections", "projections.html", projections),
    Page("/audit", "Audit", "audit.html", audit),
    Page("/archives", "Archives and erasures", "archives.html", archives, key="a"),
    Page("/erasures/{order_id}", None, "erasure.html", erasure),
    Page("/submit", "Submit", "submit.html", submit),
)
