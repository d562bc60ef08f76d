"""Deployments by the Metadata API over REST: custom fields and permission sets from a zip file.

The zip has Metadata API format: ``package.xml`` beside ``objects/`` and ``permissionsets/``.
https://developer.salesforce.com/docs/atlas.en-us.api_meta.meta/api_meta/meta_rest_deploy.htm
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from sandbox.org.data import ids
from sandbox.org.data.schema import Field, ObjectType
from sandbox.org.data.setup_objects import OBJECT_PERMISSIONS, SYSTEM_PERMISSIONS
from sandbox.org.data.state import State
from sandbox.org.errors import KNOWN, Refused, not_found, refused
from sandbox.org.org import Org
from sandbox.org.rest.call import Call, Response
from sandbox.org.rest.custom_fields import NAME, container, from_metadata
from sandbox.org.rest.multipart import is_multipart, read_multipart
from sandbox.org.rules.access import SYSTEM
from sandbox.org.rules.saving import SaveOptions, raise_for

_SPACE = "{http://soap.sforce.com/2006/04/metadata}"
_OBJECT_RIGHTS = {
    "allowCreate": "PermissionsCreate",
    "allowRead": "PermissionsRead",
    "allowEdit": "PermissionsEdit",
    "allowDelete": "PermissionsDelete",
    "viewAllRecords": "PermissionsViewAllRecords",
    "modifyAllRecords": "PermissionsModifyAllRecords",
}


@dataclass
class _Component:
    """One component of a package: its type and name, its file, and what deploys it."""

    kind: str
    name: str
    file: str
    deploy: Callable[[Org], bool]
    """Whether it was new; raises `Refused`."""
    problem: str = ""
    created: bool = False

    def message(self) -> dict[str, Any]:
        return {
            "componentType": self.kind,
            "fullName": self.name,
            "fileName": self.file,
            "success": not self.problem,
            "created": self.created,
            "changed": not self.problem,
            "deleted": False,
            "problem": self.problem or None,
            "problemType": "Error" if self.problem else None,
        }


@dataclass
class _Deployment:
    """One request, which is done at once."""

    id: str
    options: dict[str, Any]
    user_id: str
    components: list[_Component]


def serve(call: Call) -> Response:
    """``metadata/deployRequest``: begin a deployment, or look at one."""
    parts = call.parts[1:]
    if not parts or parts[0] != "deployRequest" or len(parts) > 2:
        raise not_found()
    allowed = ("PermissionsModifyMetadata", "PermissionsModifyAllData")
    if not any(map(call.actor.may, allowed)):
        status, message = KNOWN["INSUFFICIENT_ACCESS"]
        raise refused(status, "INSUFFICIENT_ACCESS", message)
    if len(parts) == 1:
        call.allow("POST")
        return _begin(call)
    call.allow("GET", "HEAD")
    found = call.org.deployments.get(ids.normalise(parts[1]) or "")
    if found is None:
        raise not_found()
    details = call.query.get("includeDetails", "").lower() == "true"
    return Response(200, _shown(call, found, details=details))


def _begin(call: Call) -> Response:
    if not is_multipart(call):
        raise refused(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
    body, files = read_multipart(call)
    options = body.get("deployOptions")
    if not isinstance(options, dict) or "file" not in files:
        raise refused(400, "JSON_PARSER_ERROR", "deployOptions and a file are required")
    if options.get("rollbackOnError") is False:
        raise refused(400, "INVALID_INPUT", "rollbackOnError must be true")
    org = call.org
    components = list(_read(_unpacked(files["file"])))
    made = _Deployment(org.ids.make("0Af"), options, call.actor.user_id, components)
    _deploy(org, made)
    org.deployments[made.id] = made
    return Response(201, _shown(call, made, details=False))


def _unpacked(content: bytes) -> dict[str, bytes]:
    """The files of a zip; raises `Refused`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            return {name: archive.read(name) for name in names}
    except zipfile.BadZipFile as error:
        raise refused(400, "INVALID_INPUT", "The file is no zip file") from error


# --- reading a package ------------------------------------------------------------------------


def _read(files: dict[str, bytes]) -> Iterator[_Component]:
    """The components of a package, and one that fails for each thing that is wrong with it."""
    if "package.xml" not in files:
        yield _broken("", "package.xml", "package.xml", "No package.xml found")
        return
    wanted: dict[str, set[str]] = {}
    for part in _parse(files["package.xml"]).iter(f"{_SPACE}types"):
        name = _text(part, "name")
        if name not in ("CustomField", "PermissionSet"):
            problem = f"Unknown type name '{name}' specified in package.xml"
            yield _broken("", "package.xml", "package.xml", problem)
            continue
        members = (member.text or "" for member in part.findall(f"{_SPACE}members"))
        wanted.setdefault(name, set()).update(members)
    given: dict[str, set[str]] = {name: set() for name in wanted}
    for file in sorted(files):
        folder, _, base = file.rpartition("/")
        if folder == "objects" and base.endswith(".object"):
            object_name = base.removesuffix(".object")
            for part in _parse(files[file]).findall(f"{_SPACE}fields"):
                full = f"{object_name}.{_text(part, 'fullName')}"
                if full in wanted.get("CustomField", ()):
                    given["CustomField"].add(full)
                    yield _field(full, file, part)
                else:
                    yield _broken("CustomField", full, file, "Not in package.xml")
        elif folder == "permissionsets" and base.endswith(".permissionset"):
            set_name = base.removesuffix(".permissionset")
            if set_name in wanted.get("PermissionSet", ()):
                given["PermissionSet"].add(set_name)
                yield _permission_set(set_name, file, _parse(files[file]))
            else:
                yield _broken("PermissionSet", set_name, file, "Not in package.xml")
        elif file != "package.xml":
            yield _broken("", file, file, "Not in package.xml")
    for kind, names in wanted.items():
        for name in sorted(names - given[kind]):
            problem = f"Entity of type '{kind}' named '{name}' cannot be found"
            yield _broken(kind, name, "package.xml", problem)


def _parse(content: bytes) -> ElementTree.Element:
    try:
        # What is read here comes from tests and people on this machine.
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise refused(400, "INVALID_INPUT", f"Error parsing file: {error}") from error


def _text(part: ElementTree.Element, name: str) -> str:
    return (part.findtext(f"{_SPACE}{name}") or "").strip()


def _broken(kind: str, name: str, file: str, problem: str) -> _Component:
    return _Component(kind, name, file, lambda org: False, problem)


def _field(full: str, file: str, part: ElementTree.Element) -> _Component:
    object_name, _, name = full.partition(".")

    def deploy(org: Org) -> bool:
        kind = container(org, object_name)
        if not NAME.match(name):
            raise refused(400, "FIELD_INTEGRITY_EXCEPTION", f"{name} is no name of a field")
        new = kind.field(name) is None
        org.put_field(object_name, from_metadata(name, _metadata(part)))
        return new

    return _Component("CustomField", full, file, deploy)


def _metadata(part: ElementTree.Element) -> dict[str, Any]:
    """A field's XML as the Tooling API's JSON has it."""
    found: dict[str, Any] = {}
    for child in part:
        name = child.tag.removeprefix(_SPACE)
        text = (child.text or "").strip()
        if name == "valueSet":
            definition = child.find(f"{_SPACE}valueSetDefinition")
            values = [] if definition is None else definition.findall(f"{_SPACE}value")
            found[name] = {
                "restricted": _text(child, "restricted") == "true",
                "valueSetDefinition": {
                    "value": [{"fullName": _text(v, "fullName")} for v in values]
                },
            }
        elif text in ("true", "false"):
            found[name] = text == "true"
        else:
            found[name] = int(text) if text.isdigit() else text
    return found


def _permission_set(name: str, file: str, root: ElementTree.Element) -> _Component:
    """A permission set, which replaces the one of that name. [That it replaces it: since v40, K]"""
    objects = {
        _text(part, "object"): {
            right: _text(part, tag) == "true" for tag, right in _OBJECT_RIGHTS.items()
        }
        for part in root.findall(f"{_SPACE}objectPermissions")
    }
    fields = {
        _text(part, "field"): {
            "PermissionsRead": _text(part, "readable") == "true",
            "PermissionsEdit": _text(part, "editable") == "true",
        }
        for part in root.findall(f"{_SPACE}fieldPermissions")
    }
    user = {
        f"Permissions{_text(part, 'name')}": _text(part, "enabled") == "true"
        for part in root.findall(f"{_SPACE}userPermissions")
    }

    def deploy(org: Org) -> bool:
        _check_rights(org, objects, fields, user)
        values: dict[str, Any] = {
            "Label": _text(root, "label"),
            "Description": _text(root, "description") or None,
            "HasActivationRequired": _text(root, "hasActivationRequired") == "true",
            **{permission: user.get(permission, False) for permission in SYSTEM_PERMISSIONS},
        }
        sets = org.store["PermissionSet"].live.values()
        found = next((row["Id"] for row in sets if row["Name"] == name), None)
        if found is None:
            set_id = _insert(org, "PermissionSet", {"Name": name, **values})
        else:
            set_id = found
            org.update("PermissionSet", set_id, values)
        for table in ("ObjectPermissions", "FieldPermissions"):
            for row in list(org.store[table].live.values()):
                if row["ParentId"] == set_id:
                    org.store.delete(table, row["Id"], {})
        for object_name, rights in objects.items():
            if any(rights.values()):
                made = {"ParentId": set_id, "SobjectType": object_name, **rights}
                _insert(org, "ObjectPermissions", made)
        for full, access in fields.items():
            if any(access.values()):
                about = {"SobjectType": full.partition(".")[0], "Field": full}
                _insert(org, "FieldPermissions", {"ParentId": set_id, **about, **access})
        return found is None

    return _Component("PermissionSet", name, file, deploy)


def _check_rights(
    state: State,
    objects: dict[str, dict[str, bool]],
    fields: dict[str, dict[str, bool]],
    user: dict[str, bool],
) -> None:
    """Raises `Refused` where a permission set names what is not there."""
    assert set(_OBJECT_RIGHTS.values()) == set(OBJECT_PERMISSIONS)
    for permission in user:
        if permission not in SYSTEM_PERMISSIONS:
            name = permission.removeprefix("Permissions")
            raise refused(400, "INVALID_INPUT", f"Unknown user permission: {name}")
    for name in objects:
        if state.schema.find(name) is None:
            message = f"In field: object - no CustomObject named {name} found"
            raise refused(400, "INVALID_CROSS_REFERENCE_KEY", message)
    for full in fields:
        kind = state.schema.find(full.partition(".")[0])
        item = kind.field(full.partition(".")[2]) if kind else None
        if kind is None or item is None:
            message = f"In field: field - no CustomField named {full} found"
            raise refused(400, "INVALID_CROSS_REFERENCE_KEY", message)
        if item.required:
            message = f"You cannot deploy to a required field: {full}"
            raise refused(400, "INVALID_INPUT", message)


def _insert(org: Org, name: str, fields: dict[str, Any]) -> str:
    rows = [(org.schema[name], fields)]
    outcome = org.saver.insert(rows, SYSTEM, SaveOptions())[0]
    raise_for(outcome)
    assert outcome.id is not None
    return outcome.id


# --- deploying --------------------------------------------------------------------------------


def _deploy(org: Org, made: _Deployment) -> None:
    """Deploy all components, fields first; undo it where one fails, or only a check is wanted."""
    before = [(kind, dict(kind.fields)) for kind in _with_custom_fields(org)]
    with org.store.transaction() as roll_back:
        for component in made.components:
            if component.problem:
                continue
            try:
                component.created = component.deploy(org)
            except Refused as error:
                component.problem = error.problems[0].message
        failed = any(component.problem for component in made.components)
        if made.options.get("checkOnly") is True or failed:
            roll_back()
            for kind, fields in before:
                _restore(org, kind, fields)


def _with_custom_fields(org: Org) -> list[ObjectType]:
    return [kind for kind in org.schema.objects.values() if not kind.setup]


def _restore(org: Org, kind: ObjectType, fields: dict[str, Field]) -> None:
    for name, item in list(kind.fields.items()):
        if name not in fields:
            org.remove_field(kind.name, name)
        elif item != fields[name]:
            org.put_field(kind.name, fields[name])


def _shown(call: Call, made: _Deployment, *, details: bool) -> dict[str, Any]:
    failures = [one.message() for one in made.components if one.problem]
    successes = [one.message() for one in made.components if not one.problem]
    result: dict[str, Any] = {
        "id": made.id,
        "checkOnly": made.options.get("checkOnly") is True,
        "ignoreWarnings": made.options.get("ignoreWarnings") is True,
        "rollbackOnError": True,
        "done": True,
        "status": "Failed" if failures else "Succeeded",
        "success": not failures,
        "createdBy": made.user_id,
        "numberComponentsTotal": len(made.components),
        "numberComponentsDeployed": len(successes),
        "numberComponentErrors": len(failures),
        **dict.fromkeys(("numberTestsCompleted", "numberTestsTotal", "numberTestErrors"), 0),
        "runTestsEnabled": False,
    }
    if details:
        result["details"] = {
            "componentFailures": failures,
            "componentSuccesses": successes,
            "runTestResult": {"numTestsRun": 0, "numFailures": 0, "successes": [], "failures": []},
        }
    url = f"{call.org.instance_url}/services/data/{call.version}/metadata/deployRequest/{made.id}"
    return {"id": made.id, "url": url, "deployOptions": made.options, "deployResult": result}
