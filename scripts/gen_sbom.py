#!/usr/bin/env python3
"""Write an SBOM (CycloneDX 1.5, JSON) of the tree: tfrun, the files of others in it, and the libraries that it is built with.

    scripts/gen_sbom.py -o FILE [TARBALL]       TARBALL's SHA-256 goes into the document
    scripts/gen_sbom.py --check-version X.Y.Z   whether all files that carry the version say this one

Licences of the files are those of scripts/packaging/debian/copyright; libraries are the build dependencies of the package's control
file. The time is SOURCE_DATE_EPOCH, so the same tree gives the same bytes.
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import uuid

import argtypes

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "core" / "include" / "tfrun" / "types.h"
PACKAGING = ROOT / "scripts" / "packaging"
# Debian's package: (name, SPDX licence, what it is for, in which object)
LIBRARIES = {
    "libcjson-dev": ("cJSON", "MIT", "JSON, in libtfrun"),
    "libdnnl-dev": ("oneDNN", "Apache-2.0", "matrix products, in the plugin onednn"),
    "libedit-dev": ("libedit", "BSD-3-Clause", "lines of tfrun repl"),
    "libhwloc-dev": ("hwloc", "BSD-3-Clause", "the machine, in libtfrun"),
    "libzip-dev": ("libzip", "BSD-3-Clause", "archives of torch.save, in libtfrun"),
    "libopenmpi-dev": ("Open MPI", "BSD-3-Clause", "ranks, in comm_mpi.so"),
}
SPDX = {"Expat": "MIT", "Expat-OpenAI": "LicenseRef-OpenAI-modified-MIT", "Unicode-3.0": "Unicode-3.0"}


def version_of_header():
    text = HEADER.read_text(encoding="utf-8")
    parts = [re.search(rf"#define TFR_VERSION_{name}\s+(\d+)", text)[1] for name in ("MAJOR", "MINOR", "PATCH")]
    said = re.search(r'#define TFR_VERSION_TEXT\s+"(.*)"', text)[1]
    if said != ".".join(parts):
        sys.exit(f"{HEADER}: TFR_VERSION_TEXT is {said}, its parts are {'.'.join(parts)}")
    return said


def check_version(version):
    """The header, the recipe's name and text, the name of the library's package."""
    (recipe,) = (PACKAGING / "easybuild").glob("*.eb")
    wanted = {HEADER: version_of_header(), recipe: re.search(r"^version = '(.*)'", recipe.read_text(), re.M)[1],
              PACKAGING / "spack" / "package.py": re.search(r"tfrun-([\d.]+)\.tar", (PACKAGING / "spack" / "package.py").read_text())[1]}
    wrong = [f"{path.relative_to(ROOT)} says {said}, not {version}" for path, said in wanted.items() if said != version]
    if not recipe.name.startswith(f"tfrun-{version}-"):
        wrong.append(f"{recipe.name} is not named after {version}")
    if f"\nPackage: libtfrun{version.split('.')[0]}\n" not in (PACKAGING / "debian" / "control.in").read_text():
        wrong.append("scripts/packaging/debian/control.in: the library's package has another number than its SONAME")
    return wrong


def licences(text):
    return " AND ".join(SPDX[word] for word in text.split(" and "))


def parts_of_others():
    """Paragraphs of the copyright file whose holder is not tfrun's."""
    text = (PACKAGING / "debian" / "copyright").read_text(encoding="utf-8")
    for paragraph in re.findall(r"^Files: (?!\*$)(.*?)(?=\n\n)", text, re.M | re.S):
        files, *_ = paragraph.split("\n")
        holders = re.search(r"Copyright: (.*?)\nLicense:", paragraph, re.S)[1]
        comment = re.search(r"Comment: (.*)", paragraph)
        yield {"type": "data" if files.startswith("configs/") else "file", "name": files, "bom-ref": f"file:{files}",
               "copyright": re.sub(r"\s*\n\s*", "; ", holders), "description": comment[1] if comment else "",
               "licenses": [{"expression": licences(re.search(r"License: (.*)", paragraph)[1])}]}


def installed_version(package):
    ran = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
    return ran.stdout or None


def libraries(has_versions):
    control = (PACKAGING / "debian" / "control.in").read_text(encoding="utf-8")
    unknown = set(re.findall(r"^(?:Build-Depends:)?\s+(lib[\w-]+-dev),$", control, re.M)) - set(LIBRARIES)
    if unknown:
        sys.exit(f"gen_sbom.py: LIBRARIES lacks {', '.join(sorted(unknown))} of debian/control.in")
    for package, (name, licence, what) in LIBRARIES.items():
        version = installed_version(package) if has_versions else None
        scope = "required" if package == "libcjson-dev" else "optional"
        found = {"type": "library", "name": name, "bom-ref": f"library:{name}", "scope": scope, "description": what,
                 "licenses": [{"license": {"id": licence}}]}
        if version:
            found["version"] = version
            found["purl"] = f"pkg:deb/debian/{package}@{version.replace('+', '%2B').replace(':', '%3A')}"
        yield found


def document(tarball, has_versions):
    version = version_of_header()
    moment = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    root = {"type": "application", "name": "tfrun", "version": version, "bom-ref": "tfrun", "licenses": [{"license": {"id": "MIT"}}]}
    if tarball:
        root["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(tarball.read_bytes()).hexdigest()}]
    others, linked = list(parts_of_others()), list(libraries(has_versions))
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"tfrun {version} {json.dumps(root, sort_keys=True)}")
    return {"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{serial}", "version": 1,
            "metadata": {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": root},
            "components": others + linked,
            "dependencies": [{"ref": "tfrun", "dependsOn": [part["bom-ref"] for part in others + linked]}]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", metavar="FILE", type=argtypes.writable)
    parser.add_argument("--check-version", metavar="X.Y.Z")
    parser.add_argument("--installed", action="store_true", help="libraries with the versions that dpkg knows here, for an SBOM of a build")
    parser.add_argument("tarball", nargs="?", type=argtypes.file)
    given = parser.parse_args()
    if given.check_version:
        wrong = check_version(given.check_version)
        print("\n".join(wrong), end="\n" if wrong else "")
        return 1 if wrong else 0
    text = json.dumps(document(given.tarball, given.installed), indent=2) + "\n"
    if given.o:
        given.o.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
