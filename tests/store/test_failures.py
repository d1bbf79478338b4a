import asyncpg
import pytest

from headrace.store.failures import Backoff, is_retryable, is_unavailable


class TestClasses:
    @pytest.mark.parametrize(
        "error",
        [
            ConnectionRefusedError(),
            ConnectionResetError(),
            FileNotFoundError(),
            TimeoutError(),
            asyncpg.ConnectionDoesNotExistError(),
            asyncpg.AdminShutdownError(),
            asyncpg.CannotConnectNowError(),
            asyncpg.TooManyConnectionsError(),
            asyncpg.ReadOnlySQLTransactionError(),
            asyncpg.InterfaceError("connection is closed"),
        ],
        ids=repr,
    )
    def test_a_database_that_is_gone_is_unavailable(self, error: Exception) -> None:
        assert (is_unavailable(error), is_retryable(error)) == (True, False)

    @pytest.mark.parametrize(
        "error",
        [
            asyncpg.DeadlockDetectedError(),
            asyncpg.SerializationError(),
            asyncpg.LockNotAvailableError(),
            asyncpg.QueryCanceledError(),
            asyncpg.DiskFullError(),
            asyncpg.InvalidCachedStatementError(),
        ],
        ids=repr,
    )
    def test_a_transaction_that_may_succeed_next_time_is_retryable(self, error: Exception) -> None:
        assert (is_unavailable(error), is_retryable(error)) == (False, True)

    @pytest.mark.parametrize(
        "error",
        [
            ValueError(),
            asyncpg.UniqueViolationError(),
            asyncpg.UndefinedTableError(),
            asyncpg.InvalidPasswordError(),
            asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        ],
        ids=repr,
    )
    def test_a_mistake_is_neither(self, error: Exception) -> None:
        assert (is_unavailable(error), is_retryable(error)) == (False, False)


class TestBackoff:
    def test_the_waits_double_from_a_tenth_to_one_second(self) -> None:
        backoff = Backoff(random_part=lambda: 1.0)
        assert [backoff.next_s() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]

    def test_a_success_makes_the_next_wait_short_again(self) -> None:
        backoff = Backoff(random_part=lambda: 1.0)
        for _ in range(5):
            backoff.next_s()
        backoff.reset()
        assert backoff.next_s() == 0.1

    def test_the_jitter_is_full(self) -> None:
        assert Backoff(random_part=lambda: 0.0).next_s() == 0.0
