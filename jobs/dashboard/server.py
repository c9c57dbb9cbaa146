"""The web server of the dashboard: one page, its files, and JSON about the ledger."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

from aiohttp import web

from jobs.dashboard.plain import encoded, text
from jobs.dashboard.security import Guard, policy
from jobs.dashboard.watcher import Watcher
from jobs.errors import CommandError
from results import LedgerError
from results.landscape import Cell
from results.shapes import Shape

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
BUSY_SHARE = 4
"""A look at the ledger is followed by a pause this many times as long."""
MOST_TEXT = 4_000  # characters of a parameter


def plotly_script() -> Path:
    """Return the file of plotly.js in the installed package.

    Raises:
        CommandError: the package is not installed.
    """
    found = find_spec("plotly")
    places = list(found.submodule_search_locations or ()) if found else []
    for place in places:
        script = Path(place) / "package_data" / "plotly.min.js"
        if script.is_file():
            return script
    raise CommandError("mupc dashboard needs plotly: pip install 'mupc[dashboard]'")


class Site:
    """The handlers of the server.

    Args:
        watcher: of the ledger.
        plotly: the file of plotly.js.
    """

    def __init__(self, watcher: Watcher, plotly: Path) -> None:
        self._watcher, self._plotly = watcher, plotly
        self._page = (STATIC / "index.html").read_text(encoding="utf-8")
        self._static = {
            path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in TYPES
        }
        self._answers: dict[str, tuple[object, bytes]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: all of them read."""
        get = partial(web.get, allow_head=False)
        return [
            get("/", self.page),
            get("/plotly.js", self.script),
            get("/static/{name}", self.file),
            get("/api/overview", self.overview),
            get("/api/experiment", self.experiment),
            get("/api/curves", self.curves),
            get("/api/layers", self.layers),
            get("/api/runs", self.runs),
            get("/api/comparison", self.comparison),
        ]

    async def watch(self, app: web.Application) -> AsyncIterator[None]:
        """Look at the ledger again and again while the server runs."""
        task = asyncio.create_task(self._look())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(None, self._watcher.close)

    async def page(self, request: web.Request) -> web.Response:
        """Return the page, whose one style element has a nonce: Plotly puts its rules there."""
        nonce = secrets.token_urlsafe(16)
        return web.Response(
            text=self._page.replace("{{nonce}}", nonce),
            content_type="text/html",
            headers={"Content-Security-Policy": policy(nonce)},
        )

    async def script(self, request: web.Request) -> web.StreamResponse:
        """Return plotly.js."""
        answer = web.FileResponse(self._plotly)
        answer.headers["Cache-Control"] = "private, max-age=86400"
        answer.content_type = "text/javascript"
        return answer

    async def file(self, request: web.Request) -> web.Response:
        """Return a file of the page."""
        name = request.match_info["name"]
        if name not in self._static:
            raise web.HTTPNotFound
        return web.Response(
            body=self._static[name],
            content_type=TYPES[Path(name).suffix],
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )

    async def overview(self, request: web.Request) -> web.Response:
        """Return all experiments."""
        return await self._answer(request, self._watcher.overview)

    async def experiment(self, request: web.Request) -> web.Response:
        """Return one experiment; it is made anew only if it has changed."""
        name = _text(request, "name")

        def make() -> object:
            signature = self._watcher.signature(name)
            known = self._answers.get(name)
            if known is None or known[0] != signature:
                if len(self._answers) > 8:
                    self._answers.clear()
                known = signature, encoded(self._watcher.experiment(name))
                self._answers[name] = known
            return known[1]

        return await self._answer(request, make)

    async def curves(self, request: web.Request) -> web.Response:
        """Return the training curves of a cell."""
        shape = Shape(int(_number(request, "width")), int(_number(request, "depth")))
        cell = _cell(request)
        return await self._answer(
            request,
            lambda: self._watcher.curves(
                _text(request, "name"), _place(request), _text(request, "variant"), shape, cell
            ),
        )

    async def layers(self, request: web.Request) -> web.Response:
        """Return the changes of layers at the transferred cells."""
        return await self._answer(
            request, lambda: self._watcher.layers(_text(request, "name"), _place(request))
        )

    async def runs(self, request: web.Request) -> web.Response:
        """Return a page of the table of runs."""
        where = [text for text in request.query.getall("where", []) if text.strip()]
        first = max(0, int(_number(request, "first"))) if "first" in request.query else 0
        sort = request.query.get("sort", "")
        return await self._answer(
            request,
            lambda: self._watcher.table(_text(request, "name"), where, sort, first),
        )

    async def comparison(self, request: web.Request) -> web.Response:
        """Return the settings in which two experiments differ."""
        return await self._answer(
            request,
            lambda: self._watcher.comparison(_text(request, "one"), _text(request, "other")),
        )

    async def _answer(self, request: web.Request, make: Callable[[], object]) -> web.Response:
        """Return what the ledger's thread makes as JSON, or that the reader has it already."""
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._watcher.executor, make)
        except (LedgerError, CommandError) as error:
            body = encoded({"error": text(error)})
            return web.Response(status=400, body=body, content_type="application/json")
        body = made if isinstance(made, bytes) else encoded(made)
        tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        answer = web.Response(body=body, content_type="application/json", headers=headers)
        if len(body) > 4096:
            answer.enable_compression()
        return answer

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            start = loop.time()
            while await loop.run_in_executor(self._watcher.executor, self._watcher.step):
                await asyncio.sleep(0)  # requests take turns with reading
            took = loop.time() - start
            await asyncio.sleep(max(self._watcher.pause, BUSY_SHARE * min(took, 15.0)))


def application(watcher: Watcher, guard: Guard, plotly: Path) -> web.Application:
    """Return the web application."""
    site = Site(watcher, plotly)
    app = web.Application(middlewares=[guard.middleware()], client_max_size=1024)
    app.add_routes(site.routes())
    app.cleanup_ctx.append(site.watch)
    return app


def _text(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if value is None or len(value) > MOST_TEXT:
        raise web.HTTPBadRequest(reason=f"{name} is missing")
    return value


def _number(request: web.Request, name: str) -> float:
    try:
        value = float(request.query[name])
    except (KeyError, ValueError):
        raise web.HTTPBadRequest(reason=f"{name} must be a number") from None
    if not math.isfinite(value) or abs(value) > 1e18:
        raise web.HTTPBadRequest(reason=f"{name} must be a finite number")
    return value


def _cell(request: web.Request) -> Cell:
    """Return the cell in the parameters `rate`, each name=value."""
    rates = {}
    for given in request.query.getall("rate", []):
        name, _, value = given.rpartition("=")
        try:
            rates[name] = float(value)
        except ValueError:
            raise web.HTTPBadRequest(reason="rate must be name=value") from None
    if not rates or not all(map(math.isfinite, rates.values())):
        raise web.HTTPBadRequest(reason="rate must be name=value, with a finite number")
    return Cell(**rates)


def _place(request: web.Request) -> int:
    return int(_number(request, "section")) if "section" in request.query else 0
