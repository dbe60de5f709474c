package logging

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// grpcLogger is grpc-go's LoggerV2. What is less than a warning is dropped: grpc-go says every change of a connection at
// its level info, and a client can cause as many of these as it likes.
type grpcLogger struct{ log *slog.Logger }

func (grpcLogger) Info(...any)          {}
func (grpcLogger) Infoln(...any)        {}
func (grpcLogger) Infof(string, ...any) {}

func (g grpcLogger) Warning(args ...any)                 { g.log.Warn(fmt.Sprint(args...)) }
func (g grpcLogger) Warningln(args ...any)               { g.log.Warn(line(args)) }
func (g grpcLogger) Warningf(format string, args ...any) { g.log.Warn(fmt.Sprintf(format, args...)) }

func (g grpcLogger) Error(args ...any)                 { g.log.Error(fmt.Sprint(args...)) }
func (g grpcLogger) Errorln(args ...any)               { g.log.Error(line(args)) }
func (g grpcLogger) Errorf(format string, args ...any) { g.log.Error(fmt.Sprintf(format, args...)) }

func (g grpcLogger) Fatal(args ...any)                 { g.fatal(fmt.Sprint(args...)) }
func (g grpcLogger) Fatalln(args ...any)               { g.fatal(line(args)) }
func (g grpcLogger) Fatalf(format string, args ...any) { g.fatal(fmt.Sprintf(format, args...)) }

// fatal ends the process, as LoggerV2 demands: grpc-go does not go on after it.
func (g grpcLogger) fatal(message string) {
	g.log.Error(message)
	os.Exit(1)
}

// V tells grpc-go to be as silent as it can.
func (grpcLogger) V(int) bool { return false }

func line(args []any) string { return strings.TrimSuffix(fmt.Sprintln(args...), "\n") }
