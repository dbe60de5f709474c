package main

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

const (
	// pluginFile is the name by which kubectl finds the binary in PATH, pluginName how it is called then.
	pluginFile = "kubectl-postern"
	pluginName = "kubectl postern"
)

// completer is what kubectl runs to complete the words behind a plugin's name: kubectl_complete-NAME in PATH.
const completer = `#!/bin/sh
# kubectl runs this to complete "kubectl postern": keep it in PATH as kubectl_complete-postern, executable.
exec kubectl-postern __complete "$@"
`

// called makes the command what it is called as: by the name of the file, the plugin of kubectl.
func called(file string, root *cobra.Command) *cobra.Command {
	if strings.TrimSuffix(filepath.Base(file), ".exe") == pluginFile {
		becomePlugin(root)
	}
	return root
}

// ownName is where usage texts call the binary by its name.
var ownName = regexp.MustCompile(`(?m)(^ *|[|(] ?)postern `)

// alone is -f where there is no choice of sources.
var alone = regexp.MustCompile(`^(\w+) -f PATH`)

// optional makes a choice of sources one that need not be made.
var optional = strings.NewReplacer("(", "[", ")", "]")

// becomePlugin has usage texts speak of the plugin, which needs no manifests.
func becomePlugin(root *cobra.Command) {
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: pluginName}
	for _, c := range append(root.Commands(), root) {
		c.Example = ownName.ReplaceAllString(c.Example, "${1}"+pluginName+" ")
		if c.Flags().Lookup("all-namespaces") != nil {
			c.Use = optional.Replace(alone.ReplaceAllString(c.Use, "$1"))
		}
	}
}

// isPlugin says whether a command is called as the plugin.
func isPlugin(c *cobra.Command) bool {
	return c.Root().Annotations[cobra.CommandDisplayNameAnnotation] == pluginName
}
