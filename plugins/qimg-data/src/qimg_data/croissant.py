"""A manifest as Croissant 1.0 JSON-LD with the responsible-AI fields (imports manifest).

Formats: docs.mlcommons.org/croissant/docs/croissant-spec.html (1.0) and croissant-rai-spec.html (1.0). What the
manifest does not say is left out, never invented. Keyed hashes of subjects stay here: only their number is exported.
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any

from qimg_core.admission_words import Consent

if TYPE_CHECKING:
    from qimg_data.manifest import Manifest

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TEXTS = {
    "preprocessing": "rai:dataPreprocessingProtocol",
    "biases": "rai:dataBiases",
    "limitations": "rai:dataLimitations",
    "use_cases": "rai:dataUseCases",
    "social_impact": "rai:dataSocialImpact",
    "maintenance": "rai:dataReleaseMaintenancePlan",
}
LICENCES = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "BSD-3-Clause": "https://opensource.org/license/bsd-3-clause",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "MIT": "https://opensource.org/license/mit",
}


def to_croissant(manifest: Manifest, *, names: bool = True) -> dict[str, Any]:
    """The JSON-LD document.

    Args:
        manifest: any.
        names: list each file with its name and digest; without, only how many there are: names may be personal.
    """
    texts = {key: manifest.texts[name] for name, key in _TEXTS.items() if manifest.texts.get(name)}
    collected = manifest.texts.get("collection") or manifest.collected
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": manifest.name,
        "description": manifest.description or f"{manifest.name}, from {manifest.source}",
        "license": LICENCES.get(manifest.licence, f"https://spdx.org/licenses/{manifest.licence}"),
        "datePublished": manifest.created,
        "url": manifest.source_url or f"urn:sha256:{manifest.digest.removeprefix('sha256:')}",
        "creator": {"@type": "sc:Organization", "name": manifest.source},
        "citeAs": f"{manifest.name}, manifest {manifest.digest}",
        "distribution": [_file(i, p, f) for i, (p, f) in enumerate(sorted(manifest.files.items()))] if names else [],
        "rai:personalSensitiveInformation": [_personal(manifest)],
        **texts,
    }
    if manifest.version:
        document["version"] = manifest.version
    if collected:
        document["rai:dataCollection"] = collected
    if manifest.annotation:
        document["rai:dataAnnotationProtocol"] = manifest.annotation
    if manifest.annotators:
        document["rai:annotationsPerItem"] = f"{manifest.annotators} annotators"
    if manifest.agreement:
        document["rai:dataAnnotationAnalysis"] = [manifest.agreement]
    return document


def _file(index: int, path: str, fact: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"file-{index}",
        "name": path,
        "contentUrl": path,
        "contentSize": f"{fact['bytes']} B",
        "encodingFormat": mimetypes.guess_type(path)[0] or "application/octet-stream",
        "sha256": fact["sha256"],
    }


def _personal(manifest: Manifest) -> str:
    parts = [f"sensitivity: {manifest.sensitivity}", f"consent: {manifest.consent}"]
    if manifest.consent == Consent.GIVEN and manifest.consent_obtained:
        parts.append(f"obtained {manifest.consent_obtained}")
    parts.append(f"purposes: {', '.join(manifest.purposes) or 'none'}")
    if manifest.subjects:
        parts.append(f"{len(manifest.subjects)} data subjects")
    if manifest.retention_until:
        parts.append(f"kept until {manifest.retention_until}")
    return "; ".join(parts)
