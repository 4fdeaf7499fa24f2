"""A web service with actors behind it: every city has a visitors' book, and each book is an actor.

    pip install sentient-core[service]
    python -m examples.service --store surrealkv://visitors.db

    curl -X POST localhost:8000/books/paris/Ada
    curl localhost:8000/books/paris
    curl localhost:8000/health

The lifespan starts the system before the first request and ends it, in order, after the last one: signals
are uvicorn's (no server, no lifespan: see sorting_office.py). Books survive a crash of their actor or of all.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sentient_core import Actor, ActorRef, ActorSystem, AskTimeout, InvalidName, NameTaken, Request, handles


class Sign(Request[int], frozen=True):
    name: str
    """To be written into the book; the reply is the number of names in it."""


class Names(Request[list[str]], frozen=True):
    """Ask who has signed."""


class Book(Actor):
    class State(msgspec.Struct):
        names: list[str] = []

    state: State

    @handles
    async def sign(self, message: Sign) -> int:
        await anyio.sleep(len(message.name) / 100)  # in one's best handwriting
        self.state.names.append(message.name)
        await self.checkpoint()  # answered only when it is on disk
        return len(self.state.names)

    @handles
    def names(self, message: Names) -> list[str]:
        return self.state.names


def service(store: str) -> Starlette:
    """The application. Its system is made here and runs while the application does."""
    system = ActorSystem("visitors", store=store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with system:
            yield
        print("The books are closed.", flush=True)

    async def sign(request: HttpRequest) -> Response:
        return await answer(request, system, Sign(request.path_params["name"]))

    async def names(request: HttpRequest) -> Response:
        return await answer(request, system, Names())

    async def health(_: HttpRequest) -> Response:
        now = system.health()
        body = {"status": now.status, "reasons": now.reasons, "books": now.actors}
        return JSONResponse(body, 200 if now.is_ready else 503)

    routes = [Route("/books/{city}", names), Route("/health", health)]
    routes.append(Route("/books/{city}/{name}", sign, methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)


async def answer(request: HttpRequest, system: ActorSystem, message: Request[Any]) -> Response:
    """Ask the book for the body. A client that goes away ends this ask, and nothing else."""
    response = Response(status_code=499)  # nobody will see this one
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_when_gone, request, tasks.cancel_scope)
        try:
            book = await the_book(system, request.path_params["city"])
            response = JSONResponse(await book.ask(message, timeout=10.0))
        except (InvalidName, AskTimeout) as error:
            response = JSONResponse({"error": str(error)}, 504 if isinstance(error, AskTimeout) else 400)
        tasks.cancel_scope.cancel()
    return response


async def cancel_when_gone(request: HttpRequest, scope: anyio.CancelScope) -> None:
    """Behind the body of a request, all that can still come from the client is that it has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    print("A client has gone; its book is written all the same.", flush=True)
    scope.cancel()


async def the_book(system: ActorSystem, city: str) -> ActorRef[Book]:
    """The city's book, opened if need be."""
    try:
        return await system.spawn(Book, name=city)
    except NameTaken as taken:
        return taken.ref


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", default="mem://")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(service(options.store), port=options.port)
