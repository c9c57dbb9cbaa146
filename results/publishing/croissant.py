"""Metadata of a data set in Croissant, which search engines and libraries read.

The format is that of http://mlcommons.org/croissant/1.0.
"""

from collections.abc import Sequence

from results.publishing.facts import About, Facts, Published

TYPES = {
    "string": "sc:Text",
    "int64": "sc:Integer",
    "float64": "sc:Float",
    "bool": "sc:Boolean",
    "timestamp": "sc:DateTime",
}

_CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def metadata(facts: Facts, about: About, tables: Sequence[Published]) -> dict[str, object]:
    """Return the metadata as JSON-LD: a file and a record set per table, a field per column."""
    found: dict[str, object] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.title,
        "description": f"{len(facts.runs)} training runs of predictive coding networks at many "
        "learning rates, with curves, layers and verdicts on the transfer of learning rates",
        "datePublished": facts.newest,
        "version": "1.0.0",
        "identifier": facts.digest,
        "citeAs": cited(facts, about),
        "distribution": [_file(table) for table in tables],
        "recordSet": [_records(table) for table in tables],
    }
    if about.license is not None:
        found["license"] = about.license
    if about.authors:
        found["creator"] = [{"@type": "sc:Person", "name": name} for name in about.authors]
    return found


def cited(facts: Facts, about: About) -> str:
    """Return an entry of BibTeX."""
    author = f"  author = {{{' and '.join(map(_bare, about.authors))}}},\n" if about.authors else ""
    return (
        f"@misc{{mupc-{facts.digest},\n"
        f"  title = {{{_bare(facts.title)}}},\n"
        f"{author}"
        f"  year = {{{facts.newest[:4]}}},\n"
        f"  note = {{Ledger of mupc, edition {facts.digest}, {len(facts.runs)} runs}}\n"
        "}"
    )


def _bare(text: str) -> str:
    """Return a text without what ends a field of BibTeX."""
    return "".join(letter for letter in text if letter not in "{}\\")


def _file(table: Published) -> dict[str, object]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{table.name}.parquet",
        "name": f"{table.name}.parquet",
        "contentUrl": table.file,
        "encodingFormat": "application/x-parquet",
        "sha256": table.digest,
    }


def _records(table: Published) -> dict[str, object]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": f"{table.rows} rows",
        "field": [
            _field(table.name, str(row["name"]), str(row["type"]), _meaning(row))
            for row in table.columns.to_dict("records")
        ],
    }


def _field(table: str, column: str, type: str, description: str) -> dict[str, object]:
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column}",
        "name": column,
        "description": description,
        "dataType": TYPES[type],
        "source": {"fileObject": {"@id": f"{table}.parquet"}, "extract": {"column": column}},
    }


def _meaning(row: dict[object, object]) -> str:
    return f"{row['description']} [{row['unit']}]" if row["unit"] else str(row["description"])
