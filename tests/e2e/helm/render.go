// SPDX-License-Identifier: Apache-2.0

// render: prints what a chart makes of its values, with the engine that Helm is built on (text/template and
// sprig) and those of Helm's own functions that the chart uses. A function that is missing here is an error.
// For machines without helm; where there is one, the tests take that.
//
//	render CHART-FOLDER [VALUES.json]      $KUBE_VERSION: the cluster's, by default v1.30.0
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

// files is .Files of a chart.
type files struct{ root string }

func (f files) Get(name string) string {
	data, err := os.ReadFile(filepath.Join(f.root, filepath.Clean("/"+name)))
	if err != nil {
		return "" // as Helm does
	}
	return string(data)
}

func read(path string, into interface{}) {
	data, err := os.ReadFile(path)
	check(err)
	check(yaml.UnmarshalStrict(data, into))
}

func kubeVersion() string {
	if version := os.Getenv("KUBE_VERSION"); version != "" {
		return version
	}
	return "v1.30.0"
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

// merge puts b over a, maps by key, as Helm does with values.
func merge(a, b map[string]interface{}) map[string]interface{} {
	for key, value := range b {
		left, okLeft := a[key].(map[string]interface{})
		right, okRight := value.(map[string]interface{})
		if okLeft && okRight {
			value = merge(left, right)
		}
		a[key] = value
	}
	return a
}

func functions(set *template.Template) template.FuncMap {
	all := sprig.TxtFuncMap()
	delete(all, "env")
	delete(all, "expandenv")
	all["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := set.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	all["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	all["toJson"] = func(value interface{}) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	}
	all["fromJson"] = func(text string) (map[string]interface{}, error) {
		var value map[string]interface{}
		err := json.Unmarshal([]byte(text), &value)
		return value, err
	}
	all["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	return all
}

func main() {
	root := os.Args[1]
	var chart, values map[string]interface{}
	read(filepath.Join(root, "Chart.yaml"), &chart)
	read(filepath.Join(root, "values.yaml"), &values)
	if len(os.Args) > 2 {
		var more map[string]interface{}
		read(os.Args[2], &more)
		values = merge(values, more)
	}
	set := template.New("chart").Option("missingkey=zero")
	set.Funcs(functions(set))
	paths, err := filepath.Glob(filepath.Join(root, "templates", "*"))
	check(err)
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = set.New(filepath.Base(path)).Parse(string(text))
		check(err)
	}
	data := map[string]interface{}{
		"Values": values, "Chart": chart, "Files": files{root},
		"Capabilities": map[string]interface{}{"KubeVersion": map[string]interface{}{"Version": kubeVersion()}},
		"Release":      map[string]interface{}{"Name": "dmm", "Namespace": "dmm-system", "Service": "Helm"},
	}
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), "_") {
			continue
		}
		fmt.Println("---")
		check(set.ExecuteTemplate(os.Stdout, filepath.Base(path), data))
		fmt.Println()
	}
}
