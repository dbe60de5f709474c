package main

import (
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/controlplane/up"
	"github.com/postern-gateway/postern/translator/model"
)

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes commands, flags and values in a shell",
		Long: `Prints a script for bash, zsh, fish or powershell. In bash it needs the package bash-completion,
in zsh that compinit is loaded. For kubectl it prints the program that completes kubectl postern, which
is to be in PATH as kubectl_complete-postern.`,
		Example: `  source <(postern completion bash)
  postern completion zsh > "${fpath[1]}/_postern"
  postern completion fish > ~/.config/fish/completions/postern.fish
  postern completion powershell | Out-String | Invoke-Expression
  postern completion kubectl > ~/bin/kubectl_complete-postern && chmod +x ~/bin/kubectl_complete-postern`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell", "kubectl"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(c.ValidArgs, args[0]) {
				return errors.New("name a shell: bash, zsh, fish or powershell; or kubectl")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "kubectl":
				_, err := io.WriteString(out, completer)
				return err
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			default:
				return root.GenBashCompletionV2(out, true)
			}
		},
	}
}

// completions say what a shell offers as the value of a flag. A flag that is not here offers nothing: most values are
// names and addresses, and the files beside them are no help.
var completions = map[string]cobra.CompletionFunc{
	"filename":            filesNamed("yaml", "yml", "json"),
	"to":                  anyFile,
	"upstream-ca":         anyFile,
	"kubeconfig":          anyFile,
	"client-cert":         anyFile,
	"server-auth":         anyFile,
	"server-ca":           anyFile,
	"envoy-path":          anyFile,
	"inspect-users":       anyFile,
	"inspect-token":       anyFile,
	"inspect-cert-dir":    folders,
	"tls-cert-dir":        folders,
	"data-plane":          words(up.DataPlanes...),
	"traefik-path-prefix": words(options.TraefikPrefixes...),
	"access-log":          words(model.AccessLogs...),
	"slash-redirect":      words("true", "false"),
	"tls":                 words("1.2", "1.3"),
	"request":             words("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
}

// complete gives every flag of a command its completion, and a command without one for its arguments none.
func complete(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		offered, ok := completions[f.Name]
		if !ok {
			offered = cobra.NoFileCompletions
		}
		if _, own := c.GetFlagCompletionFunc(f.Name); own {
			return
		}
		if err := c.RegisterFlagCompletionFunc(f.Name, offered); err != nil {
			panic(err)
		}
	})
	if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
}

func words(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

func filesNamed(endings ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

func anyFile(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
