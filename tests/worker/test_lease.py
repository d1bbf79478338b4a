from datetime import timedelta

from headrace.worker.lease import LeaseClock, StallMeter, Standing


def clock() -> LeaseClock:
    return LeaseClock(
        no_new_after=timedelta(seconds=20), cancel_after=timedelta(seconds=30), now_s=100.0
    )


class TestLeaseClock:
    def test_all_is_allowed_for_twenty_seconds(self) -> None:
        assert clock().standing(119.9) is Standing.HELD

    def test_then_no_new_step(self) -> None:
        assert clock().standing(120.0) is Standing.NO_NEW

    def test_then_no_step_at_all(self) -> None:
        assert clock().standing(130.0) is Standing.CANCEL

    def test_a_renewal_counts_from_when_it_was_sent(self) -> None:
        lease = clock()
        lease.renewed(110.0)
        assert lease.unrenewed_s(115.0) == 5.0
        assert lease.standing(129.9) is Standing.HELD
        assert lease.standing(130.0) is Standing.NO_NEW

    def test_a_renewal_brings_everything_back_however_late(self) -> None:
        lease = clock()
        assert lease.standing(500.0) is Standing.CANCEL
        lease.renewed(499.0)
        assert lease.standing(500.0) is Standing.HELD

    def test_an_older_renewal_that_is_confirmed_late_takes_nothing_away(self) -> None:
        lease = clock()
        lease.renewed(110.0)
        lease.renewed(105.0)
        assert lease.unrenewed_s(110.0) == 0.0


class TestStallMeter:
    def test_a_loop_that_ticks_does_not_stall(self) -> None:
        meter = StallMeter(longest_step_s=1.0, now_s=0.0)
        assert [meter.observe(tick, tick * 0.5) for tick in range(5)] == [0.0] * 5

    def test_a_stall_is_as_long_as_it_was_seen(self) -> None:
        meter = StallMeter(longest_step_s=1.0, now_s=0.0)
        assert [meter.observe(1, now) for now in (0.5, 1.0, 1.5)] == [0.0, 0.5, 1.0]

    def test_a_tick_ends_it(self) -> None:
        meter = StallMeter(longest_step_s=1.0, now_s=0.0)
        assert [meter.observe(1, 0.5), meter.observe(1, 1.0), meter.observe(2, 1.5)] == [
            0.0,
            0.5,
            0.0,
        ]

    def test_time_in_which_the_whole_process_was_frozen_is_not_counted(self) -> None:
        meter = StallMeter(longest_step_s=1.0, now_s=0.0)
        meter.observe(1, 0.5)
        assert meter.observe(1, 3_600.0) == 1.0
