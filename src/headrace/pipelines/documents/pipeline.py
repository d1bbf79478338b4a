"""The pipeline: from an uploaded file to passages that can be searched."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from headrace import (
    Pipeline,
    Retry,
    Signal,
    StepContext,
    SyncContext,
    Transaction,
    Use,
    UserError,
)
from headrace.pipelines.documents import storing
from headrace.pipelines.documents.chunking import split as split_text
from headrace.pipelines.documents.clients import (
    SplitRules,
    open_configured,
    open_files,
    open_rules,
    parse_limits,
)
from headrace.pipelines.documents.embedding import Embedder, batches, room_for
from headrace.pipelines.documents.external.calls import Call
from headrace.pipelines.documents.external.fetching import checked_answer, fetch_text
from headrace.pipelines.documents.external.news import ParserAnswer
from headrace.pipelines.documents.external.opening import Parser, open_parser
from headrace.pipelines.documents.external.sending import send_file
from headrace.pipelines.documents.files import FileStore
from headrace.pipelines.documents.ids import text_sha256
from headrace.pipelines.documents.model import (
    BatchUsage,
    Division,
    Document,
    Generation,
    HandedOver,
    Ingested,
    ParsedFile,
    Text,
    Usage,
)
from headrace.pipelines.documents.parsed import (
    Owner,
    keep_foreign,
    known_file,
    parsed_file,
    uploaded_file,
)
from headrace.pipelines.documents.parsing import normalise
from headrace.pipelines.documents.pieces import Piece, cut
from headrace.pipelines.documents.settings import documents_settings
from headrace.pipelines.documents.statements import MIGRATIONS

SETTINGS: Final = documents_settings()
LIMIT_S: Final = SETTINGS.parse_timeout_s
MEMORY_MIB: Final = SETTINGS.parse_memory_mib
# What a file does to its parser it does each time; the second try is for a machine that was busy.
TWICE: Final = Retry(attempts=2, first=1.0)
LONGEST: Final = timedelta(minutes=30)
"""Of embedding at a stretch; with each stored batch the tries are counted anew."""
CALLBACK: Final = timedelta(seconds=SETTINGS.parser_callback_s)
VERSION: Final = "1.1.0"
SPARE_S: Final = 30.0
"""Beside a request, for reading files."""
FETCH_S: Final = max(LIMIT_S, SETTINGS.parser_timeout_s) + SPARE_S
READABLE_TOKENS: Final = 512
"""Of a chunk, where nobody chose: some models take chapters, but nobody wants to be shown one."""


def parse(document: Document, ctx: SyncContext, files: FileStore = Use(open_files)) -> ParsedFile:
    """Make Markdown of the file, or find what an earlier job made."""
    return parsed_file(document, Owner(ctx.tenant, ctx.owner), files, parse_limits())


async def hand_over(
    document: Document,
    ctx: StepContext,
    files: FileStore = Use(open_files),
    parser: Parser = Use(open_parser),
) -> HandedOver:
    """Give the file to the parser, or answer in its place where an earlier job has its answer."""
    owner = Owner(ctx.tenant, ctx.owner)
    known = await asyncio.to_thread(known_file, document.id, owner, files, parser.name)
    if known is not None:
        answer = ParserAnswer("parsed", known)
        await ctx.send("parsed", answer.sealed(ctx.job_id, parser.secrets))
        return HandedOver("", ctx.run)
    data = await asyncio.to_thread(uploaded_file, document, owner, files)
    call = Call(ctx.job_id, ctx.run)
    reference = await send_file(parser, call, document, data, ctx.idempotency_key)
    return HandedOver(reference, ctx.run)


def take_answer(
    document: Document,
    hand_over: HandedOver,
    ctx: SyncContext,
    parsed: ParserAnswer | None = Signal(timeout=CALLBACK),
    *,
    files: FileStore = Use(open_files),
    parser: Parser = Use(open_parser),
) -> ParsedFile:
    """Go on with what the parser made of the file; until it calls back nothing runs."""
    owner = Owner(ctx.tenant, ctx.owner)
    if parsed is None:  # what came too late for an earlier run is good enough
        known = known_file(document.id, owner, files, parser.name)
        if known is not None:
            return known
    answer = checked_answer(parsed, ctx.job_id, parser)
    if answer.state == "local":
        return parsed_file(document, owner, files, parse_limits())
    if answer.file is not None:
        return answer.file
    most = SETTINGS.max_characters
    text = asyncio.run(fetch_text(parser, answer, hand_over.reference, most))
    return keep_foreign(document.id, owner, files, parser.name, text)


async def validate(
    document: Document,
    parse: ParsedFile,
    ctx: StepContext,
    tx: Transaction,
    *,
    files: FileStore = Use(open_files),
    embedder: Embedder = Use(open_configured),
) -> Text:
    """See that there is text, as it was parsed."""
    text = await read_text(files, parse.address)
    if not normalise(text):
        raise UserError(f"{document.name} has no text")
    sha256 = text_sha256(text)
    if sha256 != parse.sha256:
        raise RuntimeError(f"{parse.address} is not what the parser wrote")
    await storing.keep_text(tx, document.id, parse, ctx.job_id)
    most_tokens = embedder.space.most_tokens
    chosen = SETTINGS.chunk_tokens or READABLE_TOKENS
    return Text(parse.address, sha256, min(chosen, most_tokens))


def split(
    validate: Text, files: FileStore = Use(open_files), rules: SplitRules = Use(open_rules)
) -> Division:
    """Find the chunks of the text."""
    text = files.read(validate.address).decode()
    spans = split_text(
        text,
        chunker=rules.chunker,
        most_tokens=validate.chunk_tokens,
        count=rules.count,
        lines=rules.lines,
    )
    return Division(rules.chunker, spans)


async def chunk(
    document: Document,
    parse: ParsedFile,
    split: Division,
    ctx: StepContext,
    tx: Transaction,
    *,
    files: FileStore = Use(open_files),
    embedder: Embedder = Use(open_configured),
) -> Generation:
    """Store the chunks as a new generation, and plan the batches of those that have no vector."""
    pieces = await read_pieces(files, document, parse, split)
    if not pieces:
        raise UserError(f"{document.name} has no text to search in")
    if len(pieces) > SETTINGS.max_chunks:
        raise UserError(
            f"{document.name} has {len(pieces):,} chunks; {SETTINGS.max_chunks:,} are accepted "
            "(HEADRACE_DOCUMENTS_MAX_CHUNKS)"
        )
    space = await storing.open_space(tx, embedder.space)
    number = await storing.begin_generation(
        tx, document.id, pieces, chunker=split.chunker, job=ctx.job_id
    )
    missing = await storing.without_vector(tx, document.id, number, space)
    await storing.count_chunks(
        tx, document.id, number, stored=len(pieces), embedded=len(pieces) - len(missing)
    )
    planned = batches(
        [pieces[ordinal].text for ordinal in missing],
        most_texts=SETTINGS.batch_texts,
        most_tokens=SETTINGS.batch_tokens,
    )
    return Generation(number, len(pieces), space, [missing[batch] for batch in planned])


async def embed(
    document: Document,
    parse: ParsedFile,
    split: Division,
    chunk: Generation,
    ctx: StepContext,
    *,
    files: FileStore = Use(open_files),
    embedder: Embedder = Use(open_configured),
) -> Usage:
    """Embed the chunks batch by batch; each batch is stored with its record, once."""
    pieces = await read_pieces(files, document, parse, split)
    target = storing.Target(document.id, ctx.tenant, ctx.owner, chunk.number, chunk.space)
    total = sum(map(len, chunk.batches))
    done = tokens = 0
    for ordinals in chunk.batches:
        batch = [pieces[ordinal] for ordinal in ordinals]
        name = f"batch {ordinals[0]}-{ordinals[-1]}"
        usage = await ctx.once(name, embed_batch, embedder, target, batch)
        done, tokens = done + usage.texts, tokens + usage.tokens
        ctx.progress(done, total, "chunks")
    return Usage(len(chunk.batches), done, tokens)


async def embed_batch(
    tx: Transaction, embedder: Embedder, target: storing.Target, batch: list[Piece]
) -> BatchUsage:
    """Embed some chunks, and store their vectors and the progress together with the record."""
    texts = [piece.text for piece in batch]
    async with room_for(embedder, texts) as room:
        embedded = await embedder.embed(texts)
        room.settle(tokens=embedded.tokens)
    # The transaction begins here: it is not open while a model computes.
    await storing.store_vectors(tx, target, batch, embedded.vectors)
    return BatchUsage(len(batch), embedded.tokens)


async def store(document: Document, chunk: Generation, tx: Transaction) -> None:
    """Let search see the new generation in place of the one before."""
    await storing.show_generation(tx, document.id, chunk.number, chunk.space)


async def finalize(
    document: Document,
    parse: ParsedFile,
    chunk: Generation,
    embed: Usage,
    *,
    ctx: StepContext,
    tx: Transaction,
) -> Ingested:
    """Close the document's record."""
    await storing.finish(tx, document.id)
    ctx.log.info("finalized", document=document.id, chunks=chunk.chunks, embedded=embed.texts)
    return Ingested(
        document.id, chunk.number, chunk.chunks, embed.texts, embed.tokens, parse.is_reused
    )


def define(parser: str, version: str = VERSION) -> Pipeline[Document, Ingested]:
    """The pipeline, whose steps are the same whoever parses but for the first.

    With a parser elsewhere two steps stand in the place of `parse`: one hands the file over, and
    the other, of the same name, waits for the signal that the callback sends. Local parsing could
    send that signal to itself, and one graph would do for both; but it would be a step and a signal
    more for each document, for nothing.
    """
    made = Pipeline(
        "documents",
        version=version,
        input=Document,
        output=Ingested,
        retry=Retry.patient,
        timeout=timedelta(hours=2),
        migrations=MIGRATIONS,
    )
    in_process = made.step(runs_in="process", timeout=LIMIT_S, memory=MEMORY_MIB, retry=TWICE)
    if parser == "external":
        made.step(timeout=SETTINGS.parser_timeout_s + SPARE_S)(hand_over)
        made.step(name="parse", runs_in="process", timeout=FETCH_S, memory=MEMORY_MIB)(take_answer)
    else:
        in_process(parse)
    made.step(validate)
    in_process(split)
    made.step(chunk)
    made.step(timeout=LONGEST)(embed)
    made.step(after=[embed])(store)
    made.step(after=[store])(finalize)
    return made


async def read_text(files: FileStore, address: str) -> str:
    """A parsed file, read off the loop."""
    return (await asyncio.to_thread(files.read, address)).decode()


async def read_pieces(
    files: FileStore, document: Document, parse: ParsedFile, division: Division
) -> list[Piece]:
    """The chunks of a document with their texts."""
    text = await read_text(files, parse.address)
    return await asyncio.to_thread(
        cut,
        text,
        division.spans,
        document=document.id,
        chunker=division.chunker,
        pages=parse.pages,
    )


parsed_here: Final = define("local")
parsed_elsewhere: Final = define("external")
documents: Final = parsed_elsewhere if SETTINGS.parser == "external" else parsed_here
"""As the settings have it; processes of steps find either by its definition."""


def is_ours(pipeline: object) -> bool:
    """Whether a pipeline is one of these, and not somebody else's of the same name."""
    return pipeline is parsed_here or pipeline is parsed_elsewhere
