"""Checks of what files need: the field and the rights in the org, and Bird's access key.

Nothing is changed. The key is tried with the address of a file that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from bridge.deadline import Deadline
from bridge.errors import NotSetUp, SalesforceProblem
from bridge.files.download import Downloads, read_key
from cli.checks.finding import Check, Finding, bad, good, note, unknown
from cli.deployment.stack import Stack
from cli.org.client import Org
from cli.org.definition import FILES, KEY_FIELD

NO_SUCH_FILE = "/workspaces/none/messages/none/media/none"
SECONDS = 15.0


@dataclass(kw_only=True)
class FileChecks:
    """Nothing is checked unless AttachMedia is on."""

    stack: Stack
    org: Org

    def checks(self) -> Iterator[Check]:
        """The org first, then the key."""
        if not self.stack.settings.attach_media:
            return
        yield "files", self._rights
        yield "access-key", self._access_key

    def _rights(self) -> Finding:
        setup = f"As an administrator: {self.stack.command('setup-org')}"
        if not self.stack.settings.external_id_field:
            return bad(
                "Without a key field (ExternalIdField) no file is attached.",
                "Deploy with ExternalIdField, or with AttachMedia=off.",
            )
        described = self.org.described(FILES)
        if described is None:
            return bad("The user has no access to files (ContentVersion).", setup)
        field = described["fields_by_name"].get(KEY_FIELD.lower())
        if field is None or not field.get("createable"):
            return bad(
                f"The field {KEY_FIELD} on ContentVersion is missing, or the user may not set it.",
                setup,
            )
        if not described.get("createable"):
            return bad("The user may not create files (ContentVersion).", setup)
        return good("The user may attach files.")

    def _access_key(self) -> Finding:
        store = "Store it as docs/files.md shows."
        key = ""
        try:
            client = self.stack.client("secretsmanager")
            with suppress(client.exceptions.ResourceNotFoundException):
                found = client.get_secret_value(SecretId=self.stack.settings.access_key_secret)
                key = read_key(found.get("SecretString") or "")
        except NotSetUp:
            return bad("The secret of the access key holds something else.", store)
        except (ClientError, BotoCoreError):
            return unknown("Bird's access key was not checked: its secret cannot be read.")
        if not key:
            return bad("Bird's access key is not stored, so no file can be downloaded.", store)
        return self._try(key)

    def _try(self, key: str) -> Finding:
        """Ask each media host for a file that does not exist: 401 is about the key."""
        settings = self.stack.settings
        downloads = Downloads(settings=settings)
        refused: list[str] = []
        failed: list[str] = []
        for host in sorted(settings.media_hosts):
            scheme = "http" if host in settings.allow_insecure_hosts else "https"
            try:
                downloads.fetch(
                    f"{scheme}://{host}{NO_SUCH_FILE}",
                    access_key=key,
                    deadline=Deadline.after(SECONDS),
                ).file.close()
            except SalesforceProblem as problem:
                if problem.code == "MEDIA_HTTP_404":
                    return good(f"Bird's media host {host} accepts the access key.")
                (refused if problem.code == "MEDIA_HTTP_401" else failed).append(host)
        if failed:
            return note(
                f"Whether the access key is accepted is not known: {', '.join(failed)} did not "
                "say so for a file that does not exist.",
                "Send a picture, and see whether it is attached.",
            )
        return bad(
            f"The access key is refused by {', '.join(refused)}.",
            "Make an access key in Bird that may read media, and store it: docs/files.md.",
        )
