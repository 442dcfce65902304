"""What servers of the catalogs answer, as far as the sinks and the catalogs' clients need it. Each function starts a
catalog that is empty. It keeps what it is sent, because the next request depends on it."""

import json
import uuid

NOT_FOUND = 404, {"code": 404, "message": "not found"}


def guid(name):
    """The id of an entity."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def openmetadata():
    entities = {}
    allowed = [{"operation": one, "access": "allow"} for one in ("Create", "EditAll", "ViewAll", "Delete")]
    fixed = {
        "permissions/table": {"resource": "table", "permissions": allowed},
        "system/version": {"version": "1.12.0", "revision": "0", "timestamp": 0},
        "users/loggedInUser": {"name": "ingestion-bot", "isBot": True},
    }

    def put(body):
        """Like the server, it keeps a description that is there, because the request is a bot's."""
        parent = next((body.pop(key) for key in ("databaseSchema", "database", "service") if key in body), None)
        name = f'"{body["name"]}"' if "." in body["name"] else body["name"]
        full = f"{parent}.{name}" if parent else name
        kept = {key: value for key, value in entities.get(full, {}).items() if key == "description"}
        own = {"id": guid(full), "fullyQualifiedName": full, "deleted": False}
        return entities.setdefault(full, {}) | body | kept | own

    def answer(request):
        method, path, body = request["method"], request["path"].removeprefix("/api/v1/"), request["body"]
        if path in fixed:
            return 200, fixed[path]
        if "/name/" in path:
            name = path.split("/name/")[1]
            return (200, entities[name]) if name in entities else NOT_FOUND
        if method == "PUT" and path in ("services/databaseServices", "databases", "databaseSchemas", "tables"):
            entity = put(dict(body))
            entities[entity["fullyQualifiedName"]] = entity
            return 200, entity
        identifier = body["id"] if path == "tables/restore" else path.split("/")[1]
        entity = next(one for one in entities.values() if one["id"] == identifier)
        if method == "PATCH":
            entity |= {operation["path"].removeprefix("/"): operation["value"] for operation in body}
        elif method == "DELETE" or path == "tables/restore":
            entity["deleted"] = method == "DELETE"
        return 200, entity

    return answer


def datahub(version):
    properties = {}

    def patch(urn, operations):
        custom = properties.setdefault(urn, {})
        for operation in operations:
            _, member, *key = operation["path"].split("/")
            if member == "customProperties" and operation["op"] == "add":
                custom[key[0]] = operation["value"]
            elif member == "customProperties":
                del custom[key[0]]

    def answer(request):
        if request["path"] == "/config":
            return 200, {"noCode": "true", "versions": {"acryldata/datahub": {"version": version}}}
        if request["path"].startswith("/aspects/"):
            custom = properties.get(request["path"].removeprefix("/aspects/"))
            kept = {"com.linkedin.dataset.DatasetProperties": {"customProperties": custom, "tags": []}}
            return NOT_FOUND if custom is None else (200, {"aspect": kept})
        if request["method"] == "PATCH":
            for entity in request["body"]:
                patch(entity["urn"], entity["datasetProperties"]["value"]["patch"])
        elif request["path"] == "/aspects":
            proposals = request["body"].get("proposals") or [request["body"]["proposal"]]
            for proposal in (one for one in proposals if one["changeType"] == "PATCH"):
                operations = json.loads(proposal["aspect"]["value"])
                patch(proposal["entityUrn"], operations if isinstance(operations, list) else operations["patch"])
        return 200, []

    return answer


def atlan():
    entities = {}

    def save(entity):
        name = entity["attributes"]["qualifiedName"]
        before = entities.get(name, {"guid": guid(name), "status": "ACTIVE"})
        attributes = before.get("attributes", {}) | entity["attributes"]
        entities[name] = before | entity | {"attributes": attributes, "guid": before["guid"]}

    def found(filters):
        terms = {field: values for one in filters for field, values in one.get("terms", {}).items()}
        for entity in entities.values():
            of_table = entity["attributes"].get("tableQualifiedName") in terms["tableQualifiedName"]
            if of_table and entity["status"] == "ACTIVE" and entity["typeName"] in terms["__typeName.keyword"]:
                yield entity

    def answer(request):
        method, path = request["method"], request["path"].removeprefix("/api/meta/").rstrip("/")
        if path.startswith("entity/uniqueAttribute/type/"):
            (name,) = request["query"]["attr:qualifiedName"]
            if path.endswith("/Connection"):
                connection = {"typeName": "Connection", "guid": guid(name), "status": "ACTIVE"}
                return 200, {"entity": connection | {"attributes": {"name": "dynamodb", "qualifiedName": name}}}
            missing = {"errorCode": "ATLAS-404-00-009", "errorMessage": "does not exist"}
            return (200, {"entity": entities[name]}) if name in entities else (404, missing)
        if path.startswith("entity/guid/"):
            return 200, {"entity": next(one for one in entities.values() if path.endswith(one["guid"]))}
        if path == "search/indexsearch":
            page = list(found(request["body"]["dsl"]["query"]["bool"]["filter"]))
            return 200, {"entities": page, "approximateCount": len(page)}
        if method == "DELETE":
            for entity in entities.values():
                if entity["guid"] in request["query"]["guid"]:
                    entity["status"] = "DELETED"
        elif path == "entity/bulk":
            for entity in request["body"]["entities"]:
                save(entity)
        return 200, {"mutatedEntities": None, "guidAssignments": {}}

    return answer
