package diag

import "slices"

// Code names a diagnostic for good: codes are never given to another meaning. The first digit is the area:
// P1 reading files, P2 choosing Ingresses, P3 annotations, P4 rules and conflicts, P5 backends, P6 certificates.
type Code string

// The codes.
const (
	CodeUnknownKind      Code = "P1001"
	CodeUnknownField     Code = "P1002"
	CodeDuplicateObject  Code = "P1003"
	CodeFileKept         Code = "P1004"
	CodeUnread           Code = "P1005"
	CodeNotSelected      Code = "P2001"
	CodeTwoDialects      Code = "P2002"
	CodeVersionKept      Code = "P2010"
	CodeVersionRefused   Code = "P2011"
	CodeUnknownAnnot     Code = "P3001"
	CodeNotYet           Code = "P3002"
	CodeAccessClosed     Code = "P3003"
	CodeBadValue         Code = "P3004"
	CodeTwoSpellings     Code = "P3005"
	CodeNoSuchEntry      Code = "P3006"
	CodeOtherController  Code = "P3007"
	CodeWithoutEffect    Code = "P3008"
	CodeRefusedAnnot     Code = "P3009"
	CodeBadHost          Code = "P4001"
	CodeBadPath          Code = "P4002"
	CodeConflict         Code = "P4003"
	CodePriorityCrosses  Code = "P4004"
	CodeNoBackend        Code = "P4005"
	CodePathLanguage     Code = "P4006"
	CodeStar             Code = "P4008"
	CodeSharedPath       Code = "P4015"
	CodeBackendTwice     Code = "P4016"
	CodeAddressInTLS     Code = "P4017"
	CodeOtherSpelling    Code = "P4018"
	CodeHidden           Code = "P4019"
	CodeNoService        Code = "P5001"
	CodeNoPort           Code = "P5002"
	CodeNoEndpoints      Code = "P5003"
	CodeOutsideName      Code = "P5004"
	CodeExternalTarget   Code = "P5005"
	CodeBadProtocol      Code = "P5006"
	CodeEndpointAddress  Code = "P5007"
	CodeUnusedBackend    Code = "P5008"
	CodeUpstreamMissing  Code = "P5009"
	CodeUpstreamBroken   Code = "P5010"
	CodeUpstreamTLS      Code = "P5011"
	CodeUpstreamUnused   Code = "P5012"
	CodeNameEntry        Code = "P5013"
	CodeNameNotAllowed   Code = "P5014"
	CodeNameRefused      Code = "P5015"
	CodeNameUnresolved   Code = "P5016"
	CodeAddressRefused   Code = "P5017"
	CodeExternalPort     Code = "P5018"
	CodeForeignHost      Code = "P5019"
	CodeNoErrorBackend   Code = "P5020"
	CodeUsersUnusable    Code = "P5030"
	CodeUsersLine        Code = "P5031"
	CodeBadCertificate   Code = "P6001"
	CodeNoSecret         Code = "P6002"
	CodeCertificateTwice Code = "P6003"
	CodeNoClientCA       Code = "P6004"
	CodeNoServerName     Code = "P6005"
	CodeTLSConflict      Code = "P6006"
	CodePlainHTTP        Code = "P6007"
	CodeTLSVersion       Code = "P6008"
	CodeTLSShared        Code = "P6009"
	CodeNoHTTPSEntry     Code = "P6010"
)

// Page is what the registry says of a code; it becomes the code's page in docs/diagnostics.
type Page struct {
	Code     Code
	Severity Severity
	Title    string
	// Text explains, in whole sentences, what happened, why Postern does what it does, and what to do.
	Text string
}

// Codes are all codes, sorted.
func Codes() []Page {
	out := make([]Page, 0, len(registry))
	for _, info := range registry {
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b Page) int {
		if a.Code < b.Code {
			return -1
		}
		return 1
	})
	return out
}

var registry = func() map[Code]Page {
	m := map[Code]Page{}
	for _, info := range infos {
		if _, twice := m[info.Code]; twice {
			panic("diag: code " + string(info.Code) + " is registered twice")
		}
		m[info.Code] = info
	}
	return m
}()
