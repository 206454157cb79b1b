// SPDX-License-Identifier: Apache-2.0

// drive calls a chain of plugins the way runtimes do: through libcni, with its cache and its checks.
//
//	drive add|check|del|validate CONFLIST CONTAINERID NETNS IFNAME
//
// Environment: CNI_PATH; CNI_CACHE, a folder; CAPABILITIES, runtimeConfig as JSON; CNI_ARGS.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

func runtimeConf(id, netns, ifname string) (*libcni.RuntimeConf, error) {
	rt := &libcni.RuntimeConf{ContainerID: id, NetNS: netns, IfName: ifname}
	if text := os.Getenv("CAPABILITIES"); text != "" {
		if err := json.Unmarshal([]byte(text), &rt.CapabilityArgs); err != nil {
			return nil, err
		}
	}
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			rt.Args = append(rt.Args, [2]string{key, value})
		}
	}
	return rt, nil
}

func drive(verb string, list *libcni.NetworkConfigList, rt *libcni.RuntimeConf) error {
	ctx := context.Background()
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(os.Getenv("CNI_PATH")), os.Getenv("CNI_CACHE"), nil)
	switch verb {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, rt)
		if err != nil {
			return err
		}
		return result.Print()
	case "check":
		return cni.CheckNetworkList(ctx, list, rt)
	case "del":
		return cni.DelNetworkList(ctx, list, rt)
	case "validate":
		_, err := cni.ValidateNetworkList(ctx, list)
		return err
	}
	return fmt.Errorf("unknown verb %q", verb)
}

func run(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: drive VERB CONFLIST CONTAINERID NETNS IFNAME")
	}
	list, err := libcni.ConfListFromFile(args[1])
	if err != nil {
		return err
	}
	rt, err := runtimeConf(args[2], args[3], args[4])
	if err != nil {
		return err
	}
	return drive(args[0], list, rt)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
