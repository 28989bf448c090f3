#!/usr/bin/env python3
"""Solves a placement instance by a public solver: the reference that the placement bench compares with.

  reference.py CATALOG INSTANCE highs-lp|highs|cp-sat OUT [--seconds S] [--threads T]

Writes {method, version, status, cost, bound, build_seconds, seconds, assign, columns, rows}: money in micro-USD per
hour, `seconds` is the time in the solver alone, `bound` holds for every placement. Status: optimal, feasible,
infeasible, bound (of the relaxation alone), unknown.
"""
import argparse
import json
import math
import sys
import time
from collections import defaultdict


def candidates(catalog, component, quotas):
    """[(region, type, price, vcpu)]: per region the types that fit and are not dominated in price and vCPU."""
    found = []
    for region, place in enumerate(catalog["regions"]):
        if not set(component["labels"]) <= set(place["labels"]):
            continue
        allowed, latency = component["allowed_regions"], component["latency"]
        if allowed is not None and region not in allowed:
            continue
        if latency and catalog["targets"][latency["target"]]["rtt"][region] > latency["max_rtt"]:
            continue
        fitting = sorted(
            (price, kind["vcpu"], index)
            for index, (price, kind) in enumerate(zip(catalog["offers"][region], catalog["types"][place["cloud"]]))
            if price >= 0
            and kind["vcpu"] >= component["vcpu"]
            and kind["mem_gib"] >= component["mem_gib"]
            and kind["gpu"] >= component["gpu"]
            and component["arch"] in ("any", kind["arch"])
        )
        least = math.inf
        for price, vcpu, index in fitting:
            if vcpu < least:
                found.append((region, index, price, vcpu))
                least = vcpu
            if not quotas:
                break
    return found


class Model:
    """Binary variables with integer costs, and rows low <= sum of coefficient * variable <= high."""

    def __init__(self):
        self.costs, self.rows = [], []

    def variable(self, cost=0):
        self.costs.append(cost)
        return len(self.costs) - 1

    def row(self, terms, low=None, high=None):
        self.rows.append((terms, low, high))


def build(catalog, instance):
    """The model, and for each component {variable: (region, type)}.

    A link costs what leaves the region and, on top, what leaves the cloud. What stays is the same at both ends, for
    each region and each cloud; what leaves a cloud is counted by classes of regions with the same price of egress.
    The relaxation of that is as tight as one variable for each pair of regions would be, at a fraction of the size.
    """
    places = catalog["regions"]
    egress = {(e["cloud"], e["geo"]): e for e in catalog["egress"]}
    cloud_of = [place["cloud"] for place in places]
    class_of = [(place["cloud"], place["geo"]) for place in places]
    model, choices, at = Model(), [], []
    used = defaultdict(list)
    for component in instance["components"]:
        choice, regions = {}, defaultdict(list)
        for region, kind, price, vcpu in candidates(catalog, component, bool(instance["quotas"])):
            variable = model.variable(price * component["replicas"])
            choice[variable] = (region, kind)
            regions[region].append((variable, 1))
            load = (variable, vcpu * component["replicas"])
            used["region", region].append(load)
            used["cloud", cloud_of[region]].append(load)
        model.row([(variable, 1) for variable in choice], 1, 1)
        presence = {}
        for region, terms in regions.items():
            if len(terms) == 1:
                presence[region] = terms[0][0]
            else:
                presence[region] = model.variable()
                model.row(terms + [(presence[region], -1)], 0, 0)
        choices.append(choice)
        at.append(presence)

    def within(component, test):
        return [(variable, 1) for region, variable in at[component].items() if test(region)]

    for link in instance["links"]:
        ends = ((link["a"], link["gib_ab"]), (link["b"], link["gib_ba"]))
        shared = at[link["a"]].keys() & at[link["b"]].keys()
        balance = defaultdict(list)
        for side, (component, gib) in enumerate(ends):
            sign = 1 if side == 0 else -1
            clouds = {cloud_of[region] for region in at[ends[1 - side][0]]}
            leaving = {}
            for region, variable in at[component].items():
                price = gib * egress[class_of[region]]["same_cloud"]
                if region not in shared:
                    model.costs[variable] += price
                    leaving[region] = variable
                    continue
                leaving[region] = model.variable(price)
                balance["region", region] += [(variable, sign), (leaving[region], -sign)]
                model.row([(variable, 1), (leaving[region], -1)], low=0)
            for place in sorted({class_of[region] for region in at[component]}):
                inside = [region for region in at[component] if class_of[region] == place]
                saved = gib * (egress[place]["other"] - egress[place]["same_cloud"])
                assert saved >= 0, "egress within a cloud is dearer than out of it"
                if place[0] not in clouds:
                    for region in inside:
                        model.costs[at[component][region]] += saved
                    continue
                out = model.variable(saved)
                model.row([(out, 1)] + [(leaving[region], -1) for region in inside], high=0)
                balance["cloud", place[0]] += [(at[component][region], sign) for region in inside] + [(out, -sign)]
        for terms in balance.values():
            model.row(terms, 0, 0)
        if link["max_rtt"] is not None:
            for (here, _), (there, _) in (ends, ends[::-1]):
                for region, variable in at[here].items():
                    near = within(there, lambda other: catalog["rtt"][region][other] <= link["max_rtt"])
                    model.row(near + [(variable, -1)], low=0)
    for a, b in instance["separate_clouds"]:
        for cloud in range(len(catalog["clouds"])):
            model.row(within(a, lambda r: cloud_of[r] == cloud) + within(b, lambda r: cloud_of[r] == cloud), high=1)
    for quota in instance["quotas"]:
        scope = ("region", quota["region"]) if "region" in quota else ("cloud", quota["cloud"])
        if used[scope]:
            model.row(used[scope], high=quota["vcpu"])
    if instance["budget"] is not None:
        model.row([(variable, cost) for variable, cost in enumerate(model.costs) if cost], high=instance["budget"])
    return model, choices


def cost_of(catalog, instance, assign):
    """What a placement costs. The model's own sum can be more: only of an optimum is each of its variables least."""
    places, at = catalog["regions"], [chosen["region"] for chosen in assign]
    egress = {(e["cloud"], e["geo"]): e for e in catalog["egress"]}
    cost = 0
    for component, chosen in zip(instance["components"], assign):
        cost += catalog["offers"][chosen["region"]][chosen["type"]] * component["replicas"]
    for link in instance["links"]:
        a, b = at[link["a"]], at[link["b"]]
        if a != b:
            price = "same_cloud" if places[a]["cloud"] == places[b]["cloud"] else "other"
            for source, gib in ((a, link["gib_ab"]), (b, link["gib_ba"])):
                cost += gib * egress[places[source]["cloud"], places[source]["geo"]][price]
    return cost


def by_highs(model, relaxed, seconds, threads):
    """(status, bound, values, seconds) by HiGHS."""
    import highspy
    import numpy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(model.costs), len(model.rows)
    lp.col_cost_ = numpy.array(model.costs, dtype=float)
    lp.col_lower_, lp.col_upper_ = numpy.zeros(lp.num_col_), numpy.ones(lp.num_col_)
    infinite = highspy.kHighsInf
    lp.row_lower_ = numpy.array([-infinite if low is None else low for _, low, _ in model.rows], dtype=float)
    lp.row_upper_ = numpy.array([infinite if high is None else high for _, _, high in model.rows], dtype=float)
    lengths = [len(terms) for terms, _, _ in model.rows]
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int32)
    lp.a_matrix_.index_ = numpy.array([v for terms, _, _ in model.rows for v, _ in terms], dtype=numpy.int32)
    lp.a_matrix_.value_ = numpy.array([f for terms, _, _ in model.rows for _, f in terms], dtype=float)
    if not relaxed:
        lp.integrality_ = [highspy.HighsVarType.kInteger] * lp.num_col_
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("time_limit", float(seconds))
    solver.setOptionValue("threads", threads)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.setOptionValue("mip_abs_gap", 0.5)
    solver.passModel(lp)
    started = time.perf_counter()
    solver.run()
    took = time.perf_counter() - started
    kind, info = solver.getModelStatus(), solver.getInfo()
    values = list(solver.getSolution().col_value) if info.primal_solution_status == 2 else None
    if kind == highspy.HighsModelStatus.kInfeasible:
        return "infeasible", None, None, took
    optimal = kind == highspy.HighsModelStatus.kOptimal
    if relaxed:
        bound = info.objective_function_value if optimal else None
        if values and any(abs(value - round(value)) > 1e-6 for value in values):
            values = None
        return ("optimal" if values and optimal else "bound" if optimal else "unknown"), bound, values, took
    bound = info.mip_dual_bound if math.isfinite(info.mip_dual_bound) else None
    return ("optimal" if optimal else "feasible" if values else "unknown"), bound, values, took


def by_cp_sat(model, seconds, threads):
    """(status, bound, values, seconds) by CP-SAT."""
    from ortools.sat.python import cp_model

    made = cp_model.CpModel()
    variables = [made.new_bool_var("") for _ in model.costs]
    unbounded = 1 << 50

    def total(terms):
        return cp_model.LinearExpr.weighted_sum([variables[v] for v, _ in terms], [factor for _, factor in terms])

    for terms, low, high in model.rows:
        made.add_linear_constraint(total(terms), -unbounded if low is None else low, unbounded if high is None else high)
    made.minimize(total([(v, cost) for v, cost in enumerate(model.costs) if cost]))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = threads
    solver.parameters.linearization_level = 2
    started = time.perf_counter()
    status = solver.solve(made)
    took = time.perf_counter() - started
    name = {cp_model.OPTIMAL: "optimal", cp_model.FEASIBLE: "feasible", cp_model.INFEASIBLE: "infeasible"}
    name = name.get(status, "unknown")
    values = [solver.value(variable) for variable in variables] if name in ("optimal", "feasible") else None
    return name, None if name == "infeasible" else solver.best_objective_bound, values, took


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("catalog")
    arguments.add_argument("instance")
    arguments.add_argument("method", choices=["highs-lp", "highs", "cp-sat"])
    arguments.add_argument("out")
    arguments.add_argument("--seconds", type=float, default=120.0)
    arguments.add_argument("--threads", type=int, help="default: 2 for HiGHS, 8 for CP-SAT, whose portfolio needs as many")
    given = arguments.parse_args()
    with open(given.catalog, encoding="utf-8") as file:
        catalog = json.load(file)
    with open(given.instance, encoding="utf-8") as file:
        instance = json.load(file)
    started = time.perf_counter()
    model, choices = build(catalog, instance)
    built = time.perf_counter() - started
    if given.method == "cp-sat":
        import ortools

        version = ortools.__version__
        status, bound, values, took = by_cp_sat(model, given.seconds, given.threads or 8)
    else:
        import importlib.metadata

        version = importlib.metadata.version("highspy")
        status, bound, values, took = by_highs(model, given.method == "highs-lp", given.seconds, given.threads or 2)
    cost, assign = None, []
    if values is not None:
        for component, choice in enumerate(choices):
            region, kind = next(place for variable, place in choice.items() if values[variable] > 0.5)
            assign.append({"component": component, "region": region, "type": kind})
        cost = cost_of(catalog, instance, assign)
    answer = {
        "method": given.method, "version": version, "status": status, "cost": cost, "bound": bound,
        "build_seconds": built, "seconds": took, "assign": assign,
        "columns": len(model.costs), "rows": len(model.rows),
    }
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    json.dump({key: value for key, value in answer.items() if key != "assign"}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
