"""A valid trail with every kind of event, in every way in which it can come."""

from __future__ import annotations

from deepring_chain.types import ComplaintKind
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_names import OWNER, TERMS, WORKERS, Call, named
from tests.unit.protocol.trail_script import ScriptedTrail


def full_trail() -> list[Call]:
    """Arrangements attested in different ways, blocks restored; queries of all fates, two of them interleaved."""
    script = ScriptedTrail()
    script.register()
    script.admit()
    script.arrange()
    script.attest(2)
    script.attest(1, 0)
    script.attest(3)
    first, second = script.submit(), script.submit()
    _interleave(script, first.open_route(), second.open_route())
    third, fourth = script.submit(), script.submit()
    third.reject()
    _restore(script)
    script.arrange((OWNER, *WORKERS))
    script.attest(0)
    script.attest(1)
    script.attest(2, 3)
    _dispute_delivery(fourth)
    script.register()
    fifth = script.submit()
    script.arrange()
    script.attest(0, 1, 2, 3)
    fifth.open_route().post().post().post().post().deliver()
    _complain(script.submit())
    _wait_for_restore(script, script.submit())
    _give_up(script)
    _settle(script, script.submit(), script.submit())
    _renew(script, script.submit())
    script.submit().open_route().post_run(2)
    script.submit()
    return script.calls


def _interleave(script: ScriptedTrail, first: ScriptedQuery, second: ScriptedQuery) -> None:
    """The first is delivered; the second is disputed at hop 2, and goes on from there."""
    first.post()
    second.post()
    first.post()
    second.post()
    second.contradict(named("a lie"))
    first.post()
    second.judge(receiver=True)
    first.post().deliver()
    second.reopen(2).post().post().deliver()


def _restore(script: ScriptedTrail) -> None:
    """Two blocks are tampered with, one of them twice; then the ouroboros's own, and the last one."""
    script.arrange(tampered=(1, 3))
    script.attest(3, 2, 1, 0)
    script.order_restore(1)
    script.tampered.add(1)
    script.attest(1)
    script.report_restore(1)
    script.order_restore(1)
    script.report_restore(1)
    script.attest(1)
    script.order_restore(3)
    script.attest(3)
    script.report_restore(3)
    script.arrange(tampered=(0,))
    script.attest(0, 1, 2, 3)
    script.order_restore(0)
    script.attest(0)


def _dispute_delivery(query: ScriptedQuery) -> None:
    """The answer contradicts the last layer's, who is guilty; the query goes on from the layer before."""
    query.open_route().post().post().post().post()
    query.contradict_delivery(named("another lie"))
    query.judge(sender=True).reopen(3).post().deliver()


def _complain(query: ScriptedQuery) -> None:
    """Complaints about hop 0, about a layer, and after the last hop; attempts from the start and from the middle."""
    query.open_route().post().complain(ComplaintKind.MISSING).judge()
    query.reopen().post().post().complain(ComplaintKind.UNREADABLE).judge(sender=True)
    query.reopen(1, anchor=2).post().post().post().complain().judge(receiver=True)
    query.reopen(2, anchor=3).time_out()
    query.reopen(2, anchor=3).post().post().deliver()


def _wait_for_restore(script: ScriptedTrail, query: ScriptedQuery) -> None:
    """The hop that waits for a restore is not late."""
    query.open_route().post()
    script.arrange(tampered=(2,))
    script.attest(0, 1, 2, 3)
    script.emit(wait=TERMS.hop_seconds)
    script.order_restore(2)
    script.attest(2)
    query.post().post().post().deliver()


def _give_up(script: ScriptedTrail) -> None:
    """Queries are withdrawn or rejected in every phase."""
    waiting, routed, computed, disputed = (script.submit() for _ in range(4))
    routed.open_route().post()
    computed.open_route().post().post().post().post()
    disputed.open_route().post().complain()
    late = script.submit().open_route().post().time_out()
    late.reject()
    interrupted = script.submit().open_route().time_out(wait=TERMS.hop_seconds)
    waiting.withdraw()
    for query in (routed, computed, disputed, interrupted):
        query.withdraw(wait=0)


def _settle(script: ScriptedTrail, first: ScriptedQuery, second: ScriptedQuery) -> None:
    """One call posts the hops of two queries and delivers an answer; another posts the rest."""
    first.open_route().post()
    second.open_route()
    script.emit(
        *(first.posted() for _ in range(3)), *(second.posted() for _ in range(2)), first.delivered(), is_run=True
    )
    second.post_run(2).deliver()


def _renew(script: ScriptedTrail, query: ScriptedQuery) -> None:
    """Another version of the model comes while the query waits: it begins anew, and later goes on from the middle."""
    query.open_route().post_run(2).time_out()
    script.register()
    script.arrange()
    script.attest(0, 1, 2, 3)
    query.reopen().post_run(2).time_out()
    query.reopen(2).post_run(2).deliver()
