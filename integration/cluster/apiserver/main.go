// Command apiserver runs the API server of the tests for a person: it prints the path of a kubeconfig, and runs until
// Ctrl-C. With the word build it builds the programs where they are not in the cache yet, and prints their folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/postern-gateway/postern/integration/cluster"
	"github.com/postern-gateway/postern/integration/cluster/binaries"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	folder, err := binaries.Find(os.Stderr)
	if err != nil {
		return err
	}
	switch {
	case slices.Equal(args, []string{"build"}):
		fmt.Println(folder)
		return nil
	case len(args) > 0:
		return errors.New("usage: apiserver [build]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cluster.Run(ctx, folder, func(kubeconfig string) { fmt.Printf("export KUBECONFIG=%s\n", kubeconfig) })
}
