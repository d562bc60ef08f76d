"""Objects and fields as data: what exists, how long it may be, and how `describe` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TEXT_TYPES = frozenset({"string", "textarea", "email", "phone", "url", "picklist", "multipicklist"})
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})

_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
    "base64": "xsd:base64Binary",
}

# Keys of a described field for which nothing here has a value.
_NEVER = (
    *("aiPredictionField", "cascadeDelete", "dependentPicklist", "deprecatedAndHidden"),
    *("displayLocationInDecimal", "encrypted", "highScaleNumber", "htmlFormatted"),
    *("queryByDistance", "restrictedDelete", "writeRequiresMasterRead"),
)
_NOTHING = (
    *("calculatedFormula", "compoundFieldName", "controllerName", "defaultValueFormula"),
    *("extraTypeInfo", "filteredLookupInfo", "inlineHelpText", "mask", "maskType"),
    *("referenceTargetField", "relationshipOrder"),
)

SYSTEM_FIELDS = frozenset(
    {
        "Id",
        "IsDeleted",
        "CreatedDate",
        "CreatedById",
        "LastModifiedDate",
        "LastModifiedById",
        "SystemModstamp",
    }
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one object. Lengths are in UTF-16 units, or in UTF-8 bytes (`in_bytes`)."""

    name: str
    label: str
    type: str
    length: int = 0
    in_bytes: bool = False
    precision: int = 0
    scale: int = 0
    required: bool = False
    default: Any = None
    defaulted: bool = False
    createable: bool = True
    updateable: bool = True
    values: tuple[str, ...] = ()
    restricted: bool = False
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    id_lookup: bool = False
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    auto_number: bool = False
    calculated: bool = False
    name_field: bool = False
    custom: bool = False
    always_visible: bool = False

    @property
    def permissionable(self) -> bool:
        """Whether field-level security can be set: never for required and system fields."""
        return not (
            self.required or self.always_visible or self.name in SYSTEM_FIELDS or self.name_field
        )

    @property
    def indexed(self) -> bool:
        return self.unique or self.external_id

    def fold(self, value: Any) -> Any:
        """The form in which two values of this field are the same value."""
        if isinstance(value, str) and not self.case_sensitive and self.type in TEXT_TYPES:
            return value.lower()
        return value

    def describe(self, *, editable: bool) -> dict[str, Any]:
        """The field in ``/describe``, with Salesforce's keys."""
        has_default = self.defaulted or self.default is not None or self.type == "boolean"
        return {
            **dict.fromkeys(_NEVER, False),
            **dict.fromkeys(_NOTHING),
            "aggregatable": self.type not in {"textarea", "address", "base64"},
            "autoNumber": self.auto_number,
            "byteLength": self.length * 3 if self.type in TEXT_TYPES else self.length,
            "calculated": self.calculated,
            "caseSensitive": self.case_sensitive,
            "createable": self.createable and editable,
            "custom": self.custom,
            "defaultValue": False if self.type == "boolean" else None,
            "defaultedOnCreate": has_default,
            "digits": self.precision if self.type == "int" else 0,
            "externalId": self.external_id,
            "filterable": not (self.type == "textarea" and self.length > 255),
            "groupable": self.type not in {"textarea", "datetime", "double", "currency"},
            "idLookup": self.id_lookup or self.external_id or self.name == "Id",
            "label": self.label,
            "length": self.length,
            "name": self.name,
            "nameField": self.name_field,
            "namePointing": len(self.reference_to) > 1,
            "nillable": not (self.required or has_default or self.name in SYSTEM_FIELDS),
            "permissionable": self.permissionable,
            "picklistValues": [
                {
                    "active": True,
                    "defaultValue": value == self.default,
                    "label": value,
                    "validFor": None,
                    "value": value,
                }
                for value in self.values
            ],
            "polymorphicForeignKey": len(self.reference_to) > 1,
            "precision": self.precision,
            "referenceTo": list(self.reference_to),
            "relationshipName": self.relationship,
            "restrictedPicklist": self.restricted,
            "scale": self.scale,
            "searchPrefilterable": self.type == "reference",
            "soapType": _SOAP.get(self.type, "xsd:string"),
            "sortable": not (self.type == "textarea" and self.length > 255),
            "type": self.type,
            "unique": self.unique,
            "updateable": self.updateable and editable,
        }


@dataclass(slots=True)
class ObjectType:
    """One object and its fields. Names are compared without case, as Salesforce does."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: dict[str, Field]
    setup: bool = False
    """Part of Setup: who may read or write it follows from system permissions."""
    tooling: bool = False
    """Only reachable under ``/tooling``."""
    _lower: dict[str, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lower = {name.lower(): item for name, item in self.fields.items()}

    def field(self, name: str) -> Field | None:
        return self.fields.get(name) or self._lower.get(name.lower())

    def put(self, item: Field) -> None:
        """Add a field, or replace the one with the same name."""
        self.fields[item.name] = item
        self._lower[item.name.lower()] = item

    def drop(self, name: str) -> None:
        item = self._lower.pop(name.lower(), None)
        if item is not None:
            del self.fields[item.name]

    def relationship(self, name: str) -> Field | None:
        """The reference field behind ``Owner`` in ``Owner.Name``."""
        lower = name.lower()
        for item in self.fields.values():
            if item.relationship is not None and item.relationship.lower() == lower:
                return item
        return None


def system_fields(*, owners: tuple[str, ...]) -> list[Field]:
    """The fields that every record has; the org writes them, nobody else."""
    read_only: Mapping[str, Any] = {"createable": False, "updateable": False}
    items = [
        Field("Id", "Record ID", "id", length=18, defaulted=True, **read_only),
        Field("IsDeleted", "Deleted", "boolean", **read_only),
        Field("CreatedDate", "Created Date", "datetime", defaulted=True, **read_only),
        Field(
            "CreatedById",
            "Created By ID",
            "reference",
            length=18,
            defaulted=True,
            reference_to=("User",),
            relationship="CreatedBy",
            **read_only,
        ),
        Field("LastModifiedDate", "Last Modified Date", "datetime", defaulted=True, **read_only),
        Field(
            "LastModifiedById",
            "Last Modified By ID",
            "reference",
            length=18,
            defaulted=True,
            reference_to=("User",),
            relationship="LastModifiedBy",
            **read_only,
        ),
        Field("SystemModstamp", "System Modstamp", "datetime", defaulted=True, **read_only),
    ]
    if owners:
        items.append(
            Field(
                "OwnerId",
                "Owner ID",
                "reference",
                length=18,
                defaulted=True,
                always_visible=True,
                reference_to=owners,
                relationship="Owner",
            )
        )
    return items


def words(name: str) -> str:
    """A name as a label: ``Case Comment`` for ``CaseComment``; that of a custom object stays."""
    if name.endswith("__c"):
        return name
    return "".join(f" {c}" if c.isupper() and at else c for at, c in enumerate(name))


def object_type(
    name: str,
    prefix: str,
    fields: Iterable[Field],
    *,
    plural: str | None = None,
    owned: bool = False,
    queues: bool = False,
    setup: bool = False,
    tooling: bool = False,
) -> ObjectType:
    """An object with its own fields after the system's.

    `owned`: each record belongs to a user; `queues`: or to a queue.
    """
    owners = ("Group", "User") if queues else ("User",) if owned else ()
    label = words(name)
    return ObjectType(
        name=name,
        label=label,
        plural=plural or label + "s",
        prefix=prefix,
        fields={item.name: item for item in [*system_fields(owners=owners), *fields]},
        setup=setup,
        tooling=tooling,
    )


class Schema:
    """All objects of one org; each org has a copy of its own, since fields can be added."""

    def __init__(self, objects: Iterable[ObjectType]) -> None:
        self.objects: dict[str, ObjectType] = {item.name: item for item in objects}
        self._lower = {name.lower(): item for name, item in self.objects.items()}
        self._prefixes = {item.prefix: item for item in self.objects.values() if item.prefix}

    def put(self, kind: ObjectType) -> None:
        """Add an object, or replace the one with the same name."""
        self.objects[kind.name] = kind
        self._lower[kind.name.lower()] = kind
        self._prefixes[kind.prefix] = kind

    def find(self, name: str) -> ObjectType | None:
        return self.objects.get(name) or self._lower.get(name.lower())

    def __getitem__(self, name: str) -> ObjectType:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def by_id(self, record_id: str) -> ObjectType | None:
        return self._prefixes.get(record_id[:3])

    def with_fields_of(self, name: str) -> tuple[ObjectType, ...]:
        """The objects that have the custom fields of `name`; KeyError where there is none.

        Custom fields of Task and Event are made on Activity, which is no object by itself.
        """
        if name.lower() == "activity":
            return self["Task"], self["Event"]
        return (self[name],)
