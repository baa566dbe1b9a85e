// Says of rendered manifests what Kubernetes would: whether the pods are what their namespace enforces, as its labels
// say, and that this is the level "restricted"; whether they are what the newest version known here would enforce, too.
//
//	pod-security FILE...
//
// Each file has one namespace. Exit status: 0; 1 with a line for each fault.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

func read(name string) ([]object, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var objects []object
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		var next object
		if err := decoder.Decode(&next); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		objects = append(objects, next)
	}
}

// What the one namespace enforces.
func enforced(objects []object) (api.LevelVersion, error) {
	var namespaces []object
	for _, each := range objects {
		if each.Kind == "Namespace" {
			namespaces = append(namespaces, each)
		}
	}
	if len(namespaces) != 1 {
		return api.LevelVersion{}, fmt.Errorf("%d namespaces, expected one", len(namespaces))
	}
	labels, faults := api.PolicyToEvaluate(namespaces[0].Labels, api.Policy{})
	if len(faults) > 0 {
		return api.LevelVersion{}, faults.ToAggregate()
	}
	if labels.Enforce.Level != api.LevelRestricted {
		return api.LevelVersion{}, fmt.Errorf("the namespace does not enforce %q", api.LevelRestricted)
	}
	return labels.Enforce, nil
}

func check(name string, evaluator policy.Evaluator) error {
	objects, err := read(name)
	if err != nil {
		return err
	}
	level, err := enforced(objects)
	if err != nil {
		return err
	}
	pods := 0
	for _, each := range objects {
		if each.Kind == "Pod" || each.Kind == "CronJob" {
			return fmt.Errorf("this does not know how to look into a %s", each.Kind)
		}
		template := each.Spec.Template
		if len(template.Spec.Containers) == 0 {
			continue
		}
		pods++
		for _, version := range []api.Version{level.Version, api.LatestVersion()} {
			wanted := api.LevelVersion{Level: level.Level, Version: version}
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(wanted, &template.ObjectMeta, &template.Spec))
			if !result.Allowed {
				return fmt.Errorf("%s %s is not %s: %s", each.Kind, each.Name, wanted, result.ForbiddenDetail())
			}
		}
	}
	if pods == 0 {
		return errors.New("no pods")
	}
	return nil
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err)
	}
	status := 0
	for _, name := range os.Args[1:] {
		if err := check(name, evaluator); err != nil {
			fmt.Printf("%s: %v\n", name, err)
			status = 1
		}
	}
	os.Exit(status)
}
