package diag

// Reason is the word for the code in Kubernetes Events: CamelCase, as kubectl describe shows it, and as stable as the code.
// A code that is not registered is a fault of ours.
func (c Code) Reason() string {
	reason, ok := reasons[c]
	if !ok {
		panic("diag: code " + string(c) + " has no reason")
	}
	return reason
}

// reasons has every code; TestReasons guards it.
var reasons = map[Code]string{
	CodeUnknownKind:      "UnknownKind",
	CodeUnknownField:     "UnknownField",
	CodeDuplicateObject:  "DuplicateObject",
	CodeFileKept:         "FileKept",
	CodeUnread:           "Unread",
	CodeNotSelected:      "NotSelected",
	CodeTwoDialects:      "TwoDialects",
	CodeVersionKept:      "PreviousVersionServed",
	CodeVersionRefused:   "RefusedByProxy",
	CodeUnknownAnnot:     "UnknownAnnotation",
	CodeNotYet:           "AnnotationNotApplied",
	CodeAccessClosed:     "AccessClosed",
	CodeBadValue:         "BadAnnotationValue",
	CodeTwoSpellings:     "TwoSpellings",
	CodeNoSuchEntry:      "NoSuchEntry",
	CodeOtherController:  "AnnotationOfOtherController",
	CodeWithoutEffect:    "AnnotationWithoutEffect",
	CodeRefusedAnnot:     "RefusedAnnotation",
	CodeBadHost:          "BadHost",
	CodeBadPath:          "BadPath",
	CodeConflict:         "RouteConflict",
	CodePriorityCrosses:  "PriorityCrosses",
	CodeNoBackend:        "NoBackend",
	CodePathLanguage:     "PathLanguage",
	CodeStar:             "StarInPath",
	CodeSharedPath:       "SharedPath",
	CodeBackendTwice:     "BackendTwice",
	CodeAddressInTLS:     "AddressInTLS",
	CodeOtherSpelling:    "OtherSpelling",
	CodeHidden:           "RouteHidden",
	CodeNoService:        "NoService",
	CodeNoPort:           "NoServicePort",
	CodeNoEndpoints:      "NoEndpoints",
	CodeOutsideName:      "OutsideName",
	CodeExternalTarget:   "ExternalTarget",
	CodeBadProtocol:      "BadProtocol",
	CodeEndpointAddress:  "EndpointAddress",
	CodeUnusedBackend:    "UnusedBackend",
	CodeUpstreamMissing:  "UpstreamObjectMissing",
	CodeUpstreamBroken:   "UpstreamObjectBroken",
	CodeUpstreamTLS:      "UpstreamTLS",
	CodeUpstreamUnused:   "UpstreamSettingUnused",
	CodeNameEntry:        "ExternalNameEntry",
	CodeNameNotAllowed:   "ExternalNameNotAllowed",
	CodeNameRefused:      "ExternalNameRefused",
	CodeNameUnresolved:   "ExternalNameUnresolved",
	CodeAddressRefused:   "AddressRefused",
	CodeExternalPort:     "ExternalPort",
	CodeForeignHost:      "ForeignHost",
	CodeNoErrorBackend:   "NoErrorBackend",
	CodeUsersUnusable:    "UsersUnusable",
	CodeUsersLine:        "UsersLine",
	CodeBadCertificate:   "BadCertificate",
	CodeNoSecret:         "NoTLSSecret",
	CodeCertificateTwice: "CertificateTwice",
	CodeNoClientCA:       "NoClientCA",
	CodeNoServerName:     "NoServerName",
	CodeTLSConflict:      "TLSConflict",
	CodePlainHTTP:        "PlainHTTP",
	CodeTLSVersion:       "TLSVersion",
	CodeTLSShared:        "TLSSettingsShared",
	CodeNoHTTPSEntry:     "NoHTTPSEntry",
}
