from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace.errors import SettingsError
from headrace.settings import Settings, describe, load_settings, unknown_settings
from headrace.telemetry.events import Level
from headrace.worker.timing import Timing

ADDRESS = "postgresql://app:hunter2@db:5432/shop"


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings({f"HEADRACE_{name}": text for name, text in environ.items()})
    return str(caught.value)


def load(**environ: str) -> Settings:
    return load_settings({f"HEADRACE_{name}": text for name, text in environ.items()})


class TestLoad:
    def test_an_empty_environment_gives_development_on_the_embedded_database(self) -> None:
        settings = load()
        assert (settings.env, settings.embedded, settings.level) == (
            "development",
            True,
            Level.DEBUG,
        )
        assert settings.database_address() is None
        assert settings.direct_database_address() is None

    def test_a_database_address_means_production(self) -> None:
        settings = load(DATABASE_URL=ADDRESS)
        assert (settings.env, settings.embedded, settings.level) == (
            "production",
            False,
            Level.INFO,
        )
        assert settings.database_address() == ADDRESS

    def test_values_are_read_in_their_types(self) -> None:
        settings = load(CONCURRENCY="25", LEASE_S="12.5", QUEUES="fast, slow", LOG_LEVEL="warning")
        assert (settings.concurrency, settings.lease_s) == (25, 12.5)
        assert settings.queues == ("fast", "slow")
        assert settings.level is Level.WARNING

    def test_the_prefix_is_required(self) -> None:
        assert load_settings({"LEASE_S": "12", "CONCURRENCY": ""}).lease_s == 30

    def test_a_value_given_in_code_does_not_look_at_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEADRACE_CONCURRENCY", "77")
        assert Settings().concurrency == 10
        assert load_settings().concurrency == 77

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            Settings().concurrency = 3  # type: ignore[misc]


class TestWebhooks:
    KEY = "0123456789abcdef0123456789abcdef"

    def test_there_are_one_or_two_keys_and_nothing_shows_them(self) -> None:
        settings = load(SIGNING_KEYS=f"{self.KEY}, {self.KEY[::-1]}")
        keys = [key.get_secret_value() for key in settings.signing_keys]
        assert keys == [self.KEY, self.KEY[::-1]]
        assert self.KEY not in repr(settings) + "".join(map(repr, describe(settings)))

    @pytest.mark.parametrize("keys", [KEY[1:], f"{KEY},{KEY},{KEY}", f"{KEY},", f"{KEY} {KEY}"])
    def test_others_are_refused_and_not_shown(self, keys: str) -> None:
        text = refusal(SIGNING_KEYS=keys)
        assert "HEADRACE_SIGNING_KEYS: the value is not accepted; give 32 characters" in text
        assert self.KEY[1:] not in text

    def test_a_key_may_come_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(f"{self.KEY}\n")
        [key] = load(SIGNING_KEYS_FILE=str(tmp_path / "key")).signing_keys
        assert key.get_secret_value() == self.KEY

    def test_this_machine_is_reached_in_development_only(self) -> None:
        assert load().webhook_private_hosts == ("localhost", "127.0.0.1", "::1")
        assert load(ENV="testing").webhook_private_hosts == ()
        assert load(DATABASE_URL=ADDRESS).webhook_private_hosts == ()
        assert "public hosts only; unset it" in refusal(
            DATABASE_URL=ADDRESS, WEBHOOK_PRIVATE_HOSTS="10.0.0.7"
        )


class TestRefusals:
    def test_out_of_range_names_the_setting_its_range_and_what_to_do(self) -> None:
        assert refusal(LEASE_S="5") == (
            "HEADRACE_LEASE_S: '5' is not accepted; give 10 to 600 seconds, or unset it "
            "(default: 30)"
        )

    @pytest.mark.parametrize("blank", ["", "  ", "\n"])
    def test_blank_is_refused_also_for_text(self, blank: str) -> None:
        assert refusal(DB_NAME=blank).startswith("HEADRACE_DB_NAME: is blank; give text")

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("CONCURRENCY", "1.5"),
            ("CONCURRENCY", "1001"),
            ("POLL_INTERVAL_S", "nan"),
            ("POLL_INTERVAL_S", "inf"),
            ("LOG_FORMAT", "xml"),
            ("ENV", "prod"),
            ("QUEUES", "a,,b"),
            ("QUEUES", "a b"),
            ("DOORBELL", "kafka"),
            ("PUBSUB_JOBS_TOPIC", "9 topics"),
            ("PUBSUB_ACK_DEADLINE_S", "601"),
            ("PUBSUB_EMULATOR_HOST", "localhost"),
            ("DB_PORT", "0"),
            ("DATABASE_URL", "mysql://db/shop"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, name: str, text: str) -> None:
        message = refusal(**{name: text})
        assert message.startswith(f"HEADRACE_{name}: ")
        assert "; give " in message
        assert "\n" not in message

    def test_all_problems_are_told_at_once_on_one_line(self) -> None:
        message = refusal(LEASE_S="5", CONCURRENCY="many")
        assert "HEADRACE_LEASE_S" in message
        assert "HEADRACE_CONCURRENCY" in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("name", "outside"),
        [
            (field.upper(), str(getattr(part, bound) + step))
            for field, info in Settings.model_fields.items()
            for part in info.metadata
            for bound, step in (("ge", -1), ("le", 1))
            if hasattr(part, bound)
        ],
    )
    def test_every_bounded_setting_refuses_what_lies_outside(self, name: str, outside: str) -> None:
        assert f"HEADRACE_{name}: '{outside}' is not accepted" in refusal(**{name: outside})

    def test_production_does_not_run_on_the_embedded_database(self) -> None:
        assert "set HEADRACE_DATABASE_URL" in refusal(ENV="production")

    def test_the_account_of_a_scheduler_needs_its_audience_and_a_safe_issuer(self) -> None:
        assert "need each other" in refusal(TASKS_SERVICE_ACCOUNT="robot@example.com")
        assert "give an https address" in refusal(TASKS_ISSUER="http://login.example.com")

    def test_a_lease_that_two_lost_heartbeats_would_cost_is_refused(self) -> None:
        assert "a third of HEADRACE_LEASE_S" in refusal(LEASE_S="30", HEARTBEAT_S="11")

    def test_parts_beside_an_address_would_change_nothing_and_are_refused(self) -> None:
        assert "HEADRACE_DB_PORT would have no effect" in refusal(
            DATABASE_URL=ADDRESS, DB_PORT="6432"
        )

    def test_a_direct_address_alone_is_refused(self) -> None:
        assert "needs HEADRACE_DATABASE_URL" in refusal(DIRECT_DATABASE_URL=ADDRESS)


class TestSecrets:
    def test_a_secret_may_come_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "url"
        file.write_text(f"{ADDRESS}\n")
        assert load(DATABASE_URL_FILE=str(file)).database_address() == ADDRESS

    def test_a_file_and_a_value_together_are_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "url"
        file.write_text(ADDRESS)
        message = refusal(DATABASE_URL=ADDRESS, DATABASE_URL_FILE=str(file))
        assert message == (
            "HEADRACE_DATABASE_URL_FILE: HEADRACE_DATABASE_URL is set as well; unset one of the two"
        )

    def test_a_missing_file_is_refused(self) -> None:
        assert "'/no/such/file' cannot be read: No such file" in refusal(
            DATABASE_URL_FILE="/no/such/file"
        )

    def test_a_blank_file_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("\n")
        assert "HEADRACE_DB_PASSWORD: is blank" in refusal(DB_PASSWORD_FILE=str(file))

    def test_a_refusal_does_not_show_a_secret(self) -> None:
        message = refusal(DATABASE_URL="mysql://app:hunter2@db/shop", LEASE_S="1")
        assert "hunter2" not in message
        assert "HEADRACE_DATABASE_URL: the value is not accepted" in message

    @pytest.mark.parametrize(
        "address",
        [
            ADDRESS,
            "postgres://app:hun/ter2@db/shop",
            "postgresql://app:hunter2@@db/shop",
            "postgresql://db/shop?user=app&password=hunter2",
        ],
    )
    def test_descriptions_and_texts_do_not_show_a_secret(self, address: str) -> None:
        settings = load(DATABASE_URL=address)
        shown = f"{settings!r} {settings} {describe(settings)}"
        assert "ter2" not in shown
        shown_url = next(row for row in describe(settings) if row.name.endswith("DATABASE_URL"))
        assert "db" in str(shown_url.value)


class TestAddresses:
    def test_parts_make_an_address(self) -> None:
        settings = load_settings({"HEADRACE_DB_HOST": "db", "HEADRACE_DB_PASSWORD": "a/b@c:d"})
        assert settings.env == "production"
        assert settings.database_address() == (
            "postgresql://postgres:a%2Fb%40c%3Ad@db:5432/headrace"
        )

    def test_a_socket_folder_is_a_host(self) -> None:
        assert load(DB_HOST="/cloudsql/p:r:i").database_address() == (
            "postgresql://postgres@/headrace?host=/cloudsql/p%3Ar%3Ai&port=5432"
        )

    def test_the_direct_address_is_the_usual_one_where_no_other_is_given(self) -> None:
        direct = "postgresql://app:x@direct/shop"
        assert load(DATABASE_URL=ADDRESS).direct_database_address() == ADDRESS
        settings = load(DATABASE_URL=ADDRESS, DIRECT_DATABASE_URL=direct)
        assert settings.direct_database_address() == direct


class TestUnknown:
    def test_a_misspelt_name_is_found_with_what_was_meant(self) -> None:
        (unknown,) = unknown_settings(
            {"HEADRACE_LEASE": "30", "HEADRACE_LEASE_S": "30", "PATH": ""}
        )
        assert unknown.name == "HEADRACE_LEASE"
        assert unknown.close_matches[0] == "HEADRACE_LEASE_S"

    def test_only_secrets_have_file_variants(self) -> None:
        names = {"HEADRACE_DB_PASSWORD_FILE": "x", "HEADRACE_LEASE_S_FILE": "x"}
        assert [one.name for one in unknown_settings(names)] == ["HEADRACE_LEASE_S_FILE"]

    def test_names_that_others_read_are_known(self) -> None:
        also = frozenset({"HEADRACE_OPENAI_MODEL"})
        assert unknown_settings({"HEADRACE_OPENAI_MODEL": "x"}, also=also) == ()


class TestTiming:
    def test_the_defaults_of_settings_and_of_timing_agree(self) -> None:
        assert Settings().timing() == Timing()

    def test_the_fences_follow_the_lease_and_the_grace_the_heartbeat(self) -> None:
        timing = Settings(lease_s=90, heartbeat_s=30, poll_interval_s=0.5).timing()
        assert timing.fence_no_new == timedelta(seconds=60)
        assert timing.fence_cancel == timedelta(seconds=90)
        assert timing.presence_grace == timedelta(seconds=32)
        assert timing.poll == timedelta(seconds=0.5)

    @pytest.mark.parametrize(("lease", "heartbeat"), [(10, 1), (10, 3.3), (600, 30), (600, 1)])
    def test_every_accepted_lease_makes_a_timing(self, lease: float, heartbeat: float) -> None:
        assert (
            Settings(lease_s=lease, heartbeat_s=heartbeat).timing().lease.total_seconds() == lease
        )


class TestDescribe:
    def test_every_setting_has_a_range_a_default_and_a_meaning(self) -> None:
        for row in describe():
            assert row.name.startswith("HEADRACE_")
            assert row.range
            assert row.default
            assert row.meaning.endswith(".")
            assert row.value is None

    def test_effective_values_are_those_in_force(self) -> None:
        values = {row.name: row.value for row in describe(load(QUEUES="a,b", LEASE_S="60"))}
        assert values["HEADRACE_QUEUES"] == "a,b"
        assert values["HEADRACE_LEASE_S"] == "60"
        assert values["HEADRACE_DATABASE_URL"] == "none"
