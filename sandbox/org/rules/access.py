"""Who may do what: object rights, field-level security and sharing, worked out from records.

Profiles, permission sets, their object and field permissions and their assignments are ordinary
records (a profile's rights hang on the permission set that it owns, as in Salesforce), so what a
client creates over REST is enforced from the next call on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.setup_objects import OBJECT_PERMISSIONS, SYSTEM_PERMISSIONS
from sandbox.org.data.state import State
from sandbox.org.data.store import Record, Store
from sandbox.org.errors import not_found, refused

# Setup objects that every user of the API may read [K].
_OPEN_SETUP = frozenset(
    {
        "User",
        "Group",
        "QueueSobject",
        "Organization",
        "Profile",
        "UserLicense",
        "RecordType",
        "LeadStatus",
        "CaseStatus",
        "TaskStatus",
    }
)

_WRITES: Mapping[str, str] = {
    "User": "PermissionsManageUsers",
    "Group": "PermissionsCustomizeApplication",
    "QueueSobject": "PermissionsCustomizeApplication",
    "RecordType": "PermissionsCustomizeApplication",
    "PermissionSet": "PermissionsManageProfilesPermissionsets",
    "ObjectPermissions": "PermissionsManageProfilesPermissionsets",
    "FieldPermissions": "PermissionsManageProfilesPermissionsets",
    "PermissionSetAssignment": "PermissionsAssignPermissionSets",
    "PermissionSetLicenseAssign": "PermissionsAssignPermissionSets",
    "CustomField": "PermissionsCustomizeApplication",
}


_ACTIVITIES: Mapping[str, str] = {
    "Task": "PermissionsEditTask",
    "Event": "PermissionsEditEvent",
}
_ONE_RECORD = ("Create", "Read", "Edit", "Delete")
_CONTROLLED_BY_PARENT = ("Task", "Event", "CaseComment")
_PARENT_FIELDS = ("WhoId", "WhatId", "ParentId")


@dataclass(frozen=True)
class Rights:
    """What one user may do. `everything` is the org itself, which no rule stops."""

    user_id: str
    objects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    readable: frozenset[str] = frozenset()
    editable: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    everything: bool = False

    def may(self, permission: str) -> bool:
        """A system permission by its API name, e.g. ``PermissionsApiEnabled``."""
        return self.everything or permission in self.permissions

    def may_object(self, kind: ObjectType, action: str) -> bool:
        """`action` is one of Create, Read, Edit, Delete, ViewAllRecords, ModifyAllRecords."""
        if self.everything:
            return True
        if kind.setup:
            return self._may_setup(kind, action)
        if "PermissionsModifyAllData" in self.permissions:
            return True
        if action == "Read" and "PermissionsViewAllData" in self.permissions:
            return True
        if kind.name in _ACTIVITIES:
            # Activities have no object permissions: two user permissions stand in their place.
            needed = {"PermissionsActivitiesAccess"}
            if action != "Read":
                needed.add(_ACTIVITIES[kind.name])
            return needed <= self.permissions and action in _ONE_RECORD
        if kind.name in _FILES:
            # That nobody needs an object permission for files, which Setup does not list, is not
            # confirmed.
            return action in _ONE_RECORD
        if kind.name == "CaseComment" and action in ("Create", "Delete"):
            # That a comment needs edit access to its case is not confirmed.
            action = "Edit"
        return f"Permissions{action}" in self.objects.get(_parent(kind), frozenset())

    def _may_setup(self, kind: ObjectType, action: str) -> bool:
        if action in ("Read", "ViewAllRecords"):
            return kind.name in _OPEN_SETUP or "PermissionsViewSetup" in self.permissions
        needed = _WRITES.get(kind.name)
        return needed is not None and needed in self.permissions

    def may_read(self, kind: ObjectType, item: Field) -> bool:
        return (
            self.everything
            or kind.setup
            or not item.permissionable
            or f"{kind.name}.{item.name}" in self.readable
        )

    def may_edit(self, kind: ObjectType, item: Field) -> bool:
        return (
            self.everything
            or kind.setup
            or not item.permissionable
            or f"{kind.name}.{item.name}" in self.editable
        )


_FILES = frozenset({"ContentVersion", "ContentDocument", "ContentDocumentLink"})


def sees(state: State, kind: ObjectType, record: Record, actor: Rights) -> bool:
    """Whether sharing shows this record to the user (object rights apart).

    An activity or a comment is seen by those who see its parent, and an activity by its owner.
    """
    if not may_be_hidden(state, kind) or actor.everything:
        return True
    if actor.user_id == record.get("OwnerId") or "PermissionsViewAllData" in actor.permissions:
        return True
    if kind.name not in state.settings.private:
        parents = [record[name] for name in _PARENT_FIELDS if record.get(name)]
        return any(_sees_id(state, parent, actor) for parent in parents)
    granted = actor.objects.get(kind.name, frozenset())
    return bool({"PermissionsViewAllRecords", "PermissionsModifyAllRecords"} & granted)


def may_be_hidden(state: State, kind: ObjectType) -> bool:
    """Whether there are users from whom sharing hides records of this object."""
    private = state.settings.private
    return kind.name in private or (bool(private) and kind.name in _CONTROLLED_BY_PARENT)


def _sees_id(state: State, record_id: str, actor: Rights) -> bool:
    kind = state.schema.by_id(record_id)
    record = state.store[kind.name].any(record_id) if kind is not None else None
    return kind is not None and record is not None and sees(state, kind, record, actor)


def _parent(kind: ObjectType) -> str:
    """Objects without rights of their own follow their parent's."""
    if kind.name == "CaseComment":
        return "Case"
    if kind.name == "CampaignMember":
        return "Campaign"
    return kind.name


SYSTEM = Rights(user_id="", everything=True)


def visible_record(state: State, kind: ObjectType, record_id: str, actor: Rights) -> Record:
    """A live record by id that the user may see.

    Raises `Refused` with NOT_FOUND, or with ENTITY_IS_DELETED where it is in the recycle bin.
    """
    full = ids.normalise(record_id) or ""
    table = state.store[kind.name]
    record = table.live.get(full)
    if record is None and full in table.deleted:
        raise refused(404, "ENTITY_IS_DELETED", "entity is deleted", ())
    if record is None or not sees(state, kind, record, actor):
        raise not_found()
    return record


class AccessBook:
    """Works rights out once per user and keeps them until a Setup record changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, Rights] = {}
        self._version = -1

    def rights(self, user_id: str) -> Rights:
        if self._version != self._store.version:
            self._kept.clear()
            self._version = self._store.version
        found = self._kept.get(user_id)
        if found is None:
            found = self._kept[user_id] = self._work_out(user_id)
        return found

    def _work_out(self, user_id: str) -> Rights:
        store = self._store
        user = store["User"].live.get(user_id)
        if user is None:
            return Rights(user_id)
        profile_id = user.get("ProfileId")
        profile = store["Profile"].live.get(profile_id or "", {})
        assigned = {
            row["PermissionSetId"]
            for row in store["PermissionSetAssignment"].live.values()
            if row["AssigneeId"] == user_id
        }
        sets = [
            row
            for row in store["PermissionSet"].live.values()
            if row["Id"] in assigned or (profile_id and row.get("ProfileId") == profile_id)
        ]
        set_ids = {row["Id"] for row in sets}
        objects: dict[str, set[str]] = {}
        for row in store["ObjectPermissions"].live.values():
            if row["ParentId"] in set_ids:
                granted = objects.setdefault(row["SobjectType"], set())
                granted.update(name for name in OBJECT_PERMISSIONS if row.get(name))
        readable, editable = set(), set()
        for row in store["FieldPermissions"].live.values():
            if row["ParentId"] in set_ids:
                if row.get("PermissionsRead"):
                    readable.add(row["Field"])
                if row.get("PermissionsEdit"):
                    editable.add(row["Field"])
        return Rights(
            user_id,
            {name: frozenset(granted) for name, granted in objects.items()},
            frozenset(readable),
            frozenset(editable),
            frozenset(
                name
                for name in SYSTEM_PERMISSIONS
                if profile.get(name) or any(row.get(name) for row in sets)
            ),
        )
