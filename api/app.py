"""The HTTP application: one ledger in, routes out; it keeps nothing outside of itself."""

from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from api.conditions import APPLIED_HEADER, MIN_POSITION_HEADER
from api.dashboard.pages import PAGES
from api.dashboard.site import Site
from api.fast_lane import FastLane, PlainRead
from api.frame import Frame
from api.guard import Access, Guard
from api.openapi import DESCRIPTION, TITLE, DocumentedApi
from api.problems import tell
from api.request_meter import RequestMeter
from api.routes.archives import ArchiveRoutes
from api.routes.batch import BatchRoutes
from api.routes.bulk_acts import BulkActRoutes
from api.routes.commands import CommandRoutes
from api.routes.dead_letters import DeadLetterRoutes
from api.routes.erasures import ErasureRoutes
from api.routes.health import HealthRoutes
from api.routes.history import ARCHIVED_HEADER, HistoryRoutes
from api.routes.ledger import LedgerRoutes
from api.routes.login import LoginRoutes
from api.routes.metrics import MetricsRoutes
from api.routes.pages import page_routes
from api.routes.projections import ProjectionRoutes
from api.routes.queues import QueueRoutes
from api.routes.read_models import ReadModelRoutes
from api.routes.relay import RelayRoutes
from api.routes.schedules import ScheduleRoutes
from api.routes.seals import SealRoutes
from api.routes.streams import StreamRoutes
from api.routes.submit import EXISTING_HEADER, POSITION_HEADER, REPLAYED_HEADER, SubmitEndpoint
from api.routes.submit import PATH as SUBMIT_PATH
from api.routes.tasks import TaskRoutes
from api.routes.webhooks import WebhookRoutes
from api.routes.workers import WorkerRoutes
from api.tail import Tail
from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.scrape import Scrape, release
from ledger.settings import Settings
from ledger.telemetry import Role
from projections.catalogue import Catalogue

_CORS_SECONDS_MAX = 600


def create_app(
    ledger: Ledger,
    broker: Broker | None = None,
    access: Access | None = None,
    catalogue: Catalogue | None = None,
    *,
    looked_at: Broker | None = None,
) -> ASGIApp:
    """Make the application on an open ledger.

    Args:
        ledger: what everything is asked of and recorded in.
        broker: is asked whether it answers, for the readiness.
        access: without it whoever reaches it is let in, as long as there is no key.
        catalogue: the projections that it knows; the shipped ones if absent.
        looked_at: the broker whose queues are shown; `broker` if absent.
    """
    access = access or Access(ledger)
    app = DocumentedApi(
        title=TITLE,
        description=DESCRIPTION,
        version=release(),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.page_size_max = ledger.settings.page_size_max
    submit = SubmitEndpoint(ledger)
    app.router.routes.insert(0, submit.route())
    HealthRoutes(ledger, broker).add_to(app)
    MetricsRoutes(Scrape(ledger, role=ledger.instruments.role or Role.API, broker=broker)).add_to(app)
    tail = Tail(ledger)
    tasks = TaskRoutes(ledger, tail)
    tasks.add_to(app)
    _add_routes(app, ledger, tail, looked_at=looked_at or broker)
    ProjectionRoutes(ledger, catalogue or Catalogue()).add_to(app)
    app.router.routes.extend(page_routes())
    app.router.routes.extend(LoginRoutes(access).routes())
    app.router.routes.extend(Site(app, PAGES).routes())
    app.add_exception_handler(HTTPException, tell)
    app.add_exception_handler(RequestValidationError, tell)
    meter = RequestMeter(ledger.instruments.measures)
    meter.learn(app.routes)
    _add_middleware(app, ledger.settings, access, meter)
    in_lane = partial(_guarded, access=access, meter=meter)
    reads = {name: in_lane(PlainRead(answer), route) for name, (route, answer) in tasks.plain_reads().items()}
    return FastLane(app, submit=in_lane(submit, SUBMIT_PATH), reads=reads)


def _guarded(endpoint: ASGIApp, route: str, *, access: Access, meter: RequestMeter) -> ASGIApp:
    return Frame(Guard(endpoint, access), meter, route=route)


def _add_routes(app: FastAPI, ledger: Ledger, tail: Tail, *, looked_at: Broker | None) -> None:
    for routes in (
        BatchRoutes(ledger),
        StreamRoutes(ledger, tail),
        LedgerRoutes(ledger),
        CommandRoutes(ledger),
        QueueRoutes(ledger),
        DeadLetterRoutes(ledger),
        BulkActRoutes(ledger),
        ErasureRoutes(ledger),
        SealRoutes(ledger),
        WorkerRoutes(ledger),
        RelayRoutes(ledger, looked_at),
        ReadModelRoutes(ledger),
        ArchiveRoutes(ledger),
    ):
        routes.add_to(app)
    ScheduleRoutes(ledger).add_to(app)
    HistoryRoutes(ledger).add_to(app)
    WebhookRoutes(ledger).add_to(app)


def _add_middleware(app: FastAPI, settings: Settings, access: Access, meter: RequestMeter) -> None:
    app.add_middleware(Guard, access=access)
    app.add_middleware(Frame, meter=meter)
    app.add_middleware(  # outside the frame, so that the answer to an error has its headers too
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=[
            *("Authorization", "Content-Type", "Idempotency-Key", "X-Correlation-Id", "traceparent"),
            *(MIN_POSITION_HEADER, "If-None-Match", "Prefer", "Last-Event-ID"),
        ],
        expose_headers=[
            *("Location", "Retry-After", "ETag", POSITION_HEADER, REPLAYED_HEADER, EXISTING_HEADER),
            *(APPLIED_HEADER, ARCHIVED_HEADER),
        ],
        max_age=_CORS_SECONDS_MAX,
    )
