"""What the bridge needs in an org: fields and the permission set, read from `salesforce/`.

That folder is the only definition. `sf project deploy` deploys it, and `setup-org` compares an org
with it (ADR 0067).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bridge.settings import Settings

FOLDER = Path(__file__).parents[2] / "salesforce" / "force-app" / "main" / "default"
PERMISSION_SET = "Bird_Bridge"
KEY_FIELD = "Bird_Key__c"
FILES = "ContentVersion"
"""The object of files, which has a key of its own too."""

_NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
_RIGHTS = {
    "allowCreate": "Create",
    "allowRead": "Read",
    "allowEdit": "Edit",
    "allowDelete": "Delete",
    "viewAllRecords": "ViewAllRecords",
    "modifyAllRecords": "ModifyAllRecords",
}
RIGHT_WORDS = {
    "ViewAllRecords": "View All Records",
    "ModifyAllRecords": "Modify All Records",
    "ActivitiesAccess": "Access Activities",
    "EditTask": "Edit Tasks",
}

_OBJECT_ORDER = ("Account", "Contact", "Opportunity", "Lead", "Case")
"""Salesforce refuses rights on some objects without those on the ones they belong to: Contact and
Opportunity need Account."""


@dataclass(frozen=True, kw_only=True)
class FieldDefinition:
    """A custom field. `metadata` is as the Tooling API has it."""

    holder: str
    """Lead, Case, ContentVersion, or Activity, whose fields Task and Event share."""
    name: str
    metadata: Mapping[str, Any]

    @property
    def full_name(self) -> str:
        return f"{self.holder}.{self.name}"

    @property
    def described_on(self) -> str:
        """The object whose description and field permissions have it."""
        return "Task" if self.holder == "Activity" else self.holder

    @property
    def words(self) -> str:
        """The type and the traits as a person knows them from Setup."""
        length = self.metadata.get("length")
        kind = {"DateTime": "Date/Time"}.get(self.metadata["type"], self.metadata["type"])
        traits = [words for trait, words in TRAITS.items() if self.metadata.get(trait)]
        return ", ".join([f"{kind} {length}" if length else kind, *traits])


TRAITS = {"externalId": "External ID", "unique": "Unique", "caseSensitive": "case-sensitive"}


@dataclass(frozen=True, kw_only=True)
class PermissionSetDefinition:
    """The permission set. Rights are named as in `PermissionsEdit`, without the prefix."""

    label: str
    description: str
    user_permissions: tuple[str, ...]
    objects: Mapping[str, tuple[str, ...]]
    fields: Mapping[str, frozenset[str]]
    """Which fields it may read, by object; and edit, but for those of `read_only`."""
    read_only: Mapping[str, frozenset[str]]


def in_conversations(settings: Settings) -> bool:
    """Whether messages are logged on the record of their conversation: that needs the key field."""
    return settings.conversations and bool(settings.external_id_field)


def needed_fields(settings: Settings) -> list[FieldDefinition]:
    """The custom fields: none without a key field, which may have a name of its own on Lead and
    Case; that of files only where they are attached."""
    key = settings.external_id_field
    if not key:
        return []
    found = []
    for definition in _fields():
        if definition.holder == FILES and not settings.attach_media:
            continue
        if definition.name == KEY_FIELD != key and definition.holder not in ("Activity", FILES):
            label = key.removesuffix("__c")
            metadata = {**definition.metadata, "label": label}
            definition = replace(definition, name=key, metadata=metadata)
        found.append(definition)
    return found


@cache
def _fields() -> tuple[FieldDefinition, ...]:
    found = []
    for holder in ("Lead", "Case", "Activity", FILES):
        for path in sorted((FOLDER / "objects" / holder / "fields").glob("*.field-meta.xml")):
            metadata = _values(_read(path))
            name = metadata.pop("fullName")
            found.append(FieldDefinition(holder=holder, name=name, metadata=metadata))
    return tuple(found)


@cache
def permission_set() -> PermissionSetDefinition:
    root = _read(FOLDER / "permissionsets" / f"{PERMISSION_SET}.permissionset-meta.xml")
    values = _values(root)
    objects = {
        str(part["object"]): tuple(right for tag, right in _RIGHTS.items() if part[tag])
        for part in map(_values, root.iter(f"{_NAMESPACE}objectPermissions"))
    }
    fields: dict[str, set[str]] = {}
    read_only: dict[str, set[str]] = {}
    for part in map(_values, root.iter(f"{_NAMESPACE}fieldPermissions")):
        object_name, _, name = str(part["field"]).partition(".")
        fields.setdefault(object_name, set()).add(name)
        if not part["editable"]:
            read_only.setdefault(object_name, set()).add(name)
    return PermissionSetDefinition(
        label=values["label"],
        description=values["description"],
        user_permissions=tuple(
            str(part["name"])
            for part in map(_values, root.iter(f"{_NAMESPACE}userPermissions"))
            if part["enabled"]
        ),
        objects={name: objects[name] for name in sorted(objects, key=_OBJECT_ORDER.index)},
        fields={name: frozenset(names) for name, names in fields.items()},
        read_only={name: frozenset(names) for name, names in read_only.items()},
    )


def _read(path: Path) -> ElementTree.Element:
    # Our own file.
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def _values(element: ElementTree.Element) -> dict[str, Any]:
    """The element's children as JSON has them."""
    found: dict[str, Any] = {}
    for child in element:
        text = (child.text or "").strip()
        value = {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)
        found[child.tag.removeprefix(_NAMESPACE)] = value
    return found
