#!/usr/bin/env python3
"""The Helm chart: chart_test.py values | templates [HELM].

values     what can be read without helm: the values and their schema, the metrics that the dashboard and the rules ask for
templates  what helm makes of it; ends with status 77 where there is no helm
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "hyper2kvm"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hyper2kvm"
HELM = shutil.which("helm") or shutil.which(str(CACHE / "k8s" / "bin" / "helm"))


def documented_rules():
    """The table of docs/kubernetes.md: {(group, resource): verbs}."""
    rules = {}
    group = ""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    table = text.split("| group | resource | verbs |\n|---|---|---|\n")[1].split("\n\n")[0]
    for line in table.splitlines():
        first, resource, verbs = [cell.strip() for cell in line.strip("|").split("|")]
        group = first.strip("`")
        resource = re.search(r"`([^`]+)`", resource).group(1)
        rules[(group, resource)] = set(re.split(r",\s*", verbs))
    return rules


class Values(unittest.TestCase):
    def setUp(self):
        self.schema = json.loads((CHART / "values.schema.json").read_text())
        self.values = yaml.safe_load((CHART / "values.yaml").read_text())

    def test_the_defaults_are_allowed_by_the_schema(self):
        jsonschema.validate(self.values, self.schema)

    def test_the_schema_knows_every_value_and_no_other(self):
        self.assertLessEqual(set(self.values), set(self.schema["properties"]))
        self.assertLessEqual(set(self.schema["properties"]) - set(self.values), {"global", "nameOverride", "fullnameOverride"})

    def test_a_wrong_value_is_refused(self):
        for name, value in {"replicas": -1, "logLevel": "loud", "watchNamespaces": ["Not A Name"], "unknown": 1}.items():
            with self.subTest(name), self.assertRaises(jsonschema.ValidationError):
                jsonschema.validate({**self.values, name: value}, self.schema)

    def test_the_definition_of_VMConversion_is_the_projects_own(self):
        self.assertTrue((CHART / "crds").is_symlink())
        self.assertEqual((CHART / "crds").resolve(), ROOT / "crds")

    def test_every_metric_that_is_asked_for_is_one_that_the_operator_has(self):
        sources = "".join(path.read_text() for path in sorted((ROOT / "operator").rglob("*.cpp")))
        asked = set()
        for panel in json.loads((CHART / "files" / "dashboard.json").read_text())["panels"]:
            for target in panel["targets"]:
                asked |= set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", re.sub(r"by \([^)]*\)|histogram_quantile", "", target["expr"])))
        rules = (CHART / "templates" / "prometheusrule.yaml").read_text()
        asked |= set(re.findall(r"([a-z0-9_]+)\{job=", rules))
        self.assertGreater(len(asked), 6)
        for name in asked:
            self.assertIn('"' + re.sub(r"_(bucket|count|sum)$", "", name) + '"', sources)


class Templates(unittest.TestCase):
    @staticmethod
    def helm(*arguments):
        return subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=120, check=False)

    def render(self, *settings, more=()):
        options = [word for setting in settings for word in ("--set", setting)]
        ran = self.helm("template", "demo", str(CHART), "--namespace", "system", *options, *more)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        objects = {}
        for document in yaml.safe_load_all(ran.stdout):
            if document:
                key = (document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"])
                self.assertNotIn(key, objects)
                objects[key] = document
        return objects

    def kinds(self, objects):
        return sorted({kind for kind, _, _ in objects})

    def test_lint_has_nothing_to_say(self):
        ran = self.helm("lint", "--strict", str(CHART))
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assertNotIn("[WARNING]", ran.stdout)

    def test_the_defaults_are_one_replica_that_sees_all_namespaces(self):
        objects = self.render()
        self.assertEqual(self.kinds(objects), ["ClusterRole", "ClusterRoleBinding", "Deployment", "Pod", "Role", "RoleBinding",
                                               "Service", "ServiceAccount"])
        deployment = objects[("Deployment", "system", "demo-hyper2kvm")]
        self.assertEqual(deployment["spec"]["replicas"], 1)
        version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(container["image"], f"hyper2kvm-operator:{version}")
        self.assertIn(f"--runner-image=hyper2kvm:{version}", container["args"])

    def test_the_pods_meet_the_restricted_standard(self):
        objects = self.render()
        for pod in (objects[("Deployment", "system", "demo-hyper2kvm")]["spec"]["template"]["spec"],
                    objects[("Pod", "system", "demo-hyper2kvm-test")]["spec"]):
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            for container in pod["containers"]:
                self.assertEqual(container["securityContext"], {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                self.assertIn("limits", container["resources"])

    def test_the_rules_are_those_of_the_documentation(self):
        objects = self.render()
        found = {}
        for key in (("ClusterRole", None, "demo-hyper2kvm"), ("Role", "system", "demo-hyper2kvm-election")):
            for rule in objects[key]["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        found[(group, resource)] = set(rule["verbs"])
        self.assertEqual(found, documented_rules())

    def test_named_namespaces_need_no_cluster_role(self):
        objects = self.render("watchNamespaces={blue,green}")
        self.assertNotIn("ClusterRole", self.kinds(objects))
        for namespace in ("blue", "green"):
            self.assertIn(("Role", namespace, "demo-hyper2kvm"), objects)
            binding = objects[("RoleBinding", namespace, "demo-hyper2kvm")]
            self.assertEqual(binding["subjects"], [{"kind": "ServiceAccount", "name": "demo-hyper2kvm", "namespace": "system"}])
        arguments = objects[("Deployment", "system", "demo-hyper2kvm")]["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertIn("--namespace=blue", arguments)
        self.assertIn("--namespace=green", arguments)

    def test_what_can_be_switched_on_is_there_then(self):
        settings = ("replicas=2", "networkPolicy.enabled=true", "metrics.serviceMonitor.enabled=true",
                    "metrics.prometheusRule.enabled=true", "metrics.dashboard.enabled=true")
        objects = self.render(*settings, more=("--include-crds", "--api-versions", "policy/v1/PodDisruptionBudget"))
        for kind in ("ConfigMap", "CustomResourceDefinition", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "ServiceMonitor"):
            self.assertIn(kind, self.kinds(objects))
        json.loads(objects[("ConfigMap", "system", "demo-hyper2kvm-dashboard")]["data"]["hyper2kvm.json"])
        budget = objects[("PodDisruptionBudget", "system", "demo-hyper2kvm")]
        self.assertEqual(budget["apiVersion"], "policy/v1")
        selector = objects[("Deployment", "system", "demo-hyper2kvm")]["spec"]["selector"]
        self.assertEqual(budget["spec"]["selector"], selector)
        self.assertEqual(objects[("Service", "system", "demo-hyper2kvm-metrics")]["spec"]["selector"], selector["matchLabels"])

    def test_runners_reach_the_hosts_of_libvirt_and_nothing_else_where_they_are_named(self):
        settings = ("networkPolicy.enabled=true", "networkPolicy.runnerNamespaces={blue}")
        self.assertNotIn(("NetworkPolicy", "blue", "demo-hyper2kvm-libvirt"), self.render(*settings))
        objects = self.render(*settings, "networkPolicy.libvirt.cidrs={192.0.2.0/24,2001:db8::/64}")
        runners = objects[("NetworkPolicy", "blue", "demo-hyper2kvm-runners")]["spec"]
        self.assertNotIn("egress", runners)
        libvirt = objects[("NetworkPolicy", "blue", "demo-hyper2kvm-libvirt")]["spec"]
        self.assertEqual(libvirt["podSelector"]["matchLabels"]["hyper2kvm.io/registers"], "libvirt")
        self.assertEqual(libvirt["policyTypes"], ["Egress"])
        self.assertEqual([peer["ipBlock"]["cidr"] for peer in libvirt["egress"][0]["to"]], ["192.0.2.0/24", "2001:db8::/64"])
        self.assertEqual([port["port"] for port in libvirt["egress"][0]["ports"]], [16514, 22])
        self.assertEqual({port["port"] for port in libvirt["egress"][1]["ports"]}, {53})

    def test_without_accounts_and_roles_of_its_own_it_uses_the_given_account(self):
        objects = self.render("rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=given")
        self.assertEqual(self.kinds(objects), ["Deployment", "Pod", "Service"])
        pod = objects[("Deployment", "system", "demo-hyper2kvm")]["spec"]["template"]["spec"]
        self.assertEqual(pod["serviceAccountName"], "given")

    def test_helm_refuses_what_the_schema_does_not_allow(self):
        for setting in ("replicas=many", "runner.image=hyper2kvm", "logLevel=loud", "maxRuning=3"):
            with self.subTest(setting):
                ran = self.helm("template", "demo", str(CHART), "--set", setting)
                self.assertNotEqual(ran.returncode, 0)
                self.assertIn(setting.split("=", maxsplit=1)[0].split(".")[-1], ran.stderr)


if __name__ == "__main__":
    part = sys.argv.pop(1)
    if part == "templates" and HELM is None:
        print("helm is not installed, and no Debian package has it: the chart's templates are not tested here")
        sys.exit(77)
    unittest.main(defaultTest={"values": "Values", "templates": "Templates"}[part], verbosity=2)
