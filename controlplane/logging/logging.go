// Package logging gives the process one form of log lines: those of client-go and grpc-go take it too.
package logging

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/grpclog"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// The forms of a line.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// fromKey is the attribute that says which library a line is from. Postern's own have none.
const fromKey = "from"

// levels are what --log-level takes. There is none below debug: at klog's level 8 client-go logs bodies, and with them
// Secrets (rest/request.go, logBody). Debug is slog's -4, which logr maps klog's level 4 to.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Config is what the flags say.
type Config struct {
	// Level is a key of levels, Format one of the forms.
	Level, Format string
}

// Register adds --log-level and --log-format.
func (c *Config) Register(flags *pflag.FlagSet) {
	flags.StringVar(&c.Level, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&c.Format, "log-format", FormatText, FormatText+" or "+FormatJSON)
}

// New makes the logger. Its error is about a flag.
func (c Config) New(w io.Writer) (*slog.Logger, error) {
	level, ok := levels[c.Level]
	if !ok {
		return nil, fmt.Errorf("--log-level %s: write debug, info, warn or error", c.Level)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	switch c.Format {
	case FormatText:
		return slog.New(slog.NewTextHandler(w, options)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format %s: write %s or %s", c.Format, FormatText, FormatJSON)
}

// readable has a duration say its unit in JSON too, where slog writes nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// Bridge has client-go and grpc-go log to log from now on. Both keep one logger for the process and guard it by nothing
// (klog.SetSlogLogger, grpclog.SetLoggerV2), so it is called once, before either is used.
func Bridge(log *slog.Logger) {
	client := log.With(fromKey, "client-go")
	klog.SetSlogLogger(client)
	rest.SetDefaultWarningHandlerWithContext(&apiWarnings{log: client, seen: map[string]struct{}{}})
	grpclog.SetLoggerV2(grpcLogger{log.With(fromKey, "grpc")})
}
